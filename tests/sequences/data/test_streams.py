"""Chunks of long sequences, in rows that follow each other."""

import numpy as np

from jaxgan.sequences.data.streams import Item, Reader, cut_all, plan, split


def items(*lengths):
    """Sequences of different numbers; the text of each is as long as its place in the list."""
    starts = np.cumsum([0, *lengths])
    return [
        Item(np.arange(start, start + length, dtype=np.int32), np.full(place, 7, np.int32))
        for place, (start, length) in enumerate(zip(starts, lengths, strict=False))
    ]


def read_back(chunks):
    """The predicted values of all rows, in the order of each row, cut where a sequence starts."""
    found = []
    for row in range(len(chunks[0].values)):
        for chunk in chunks:
            if chunk.starts[row]:
                found.append([])
            found[-1] += chunk.values[row, 1:][chunk.valid[row]].tolist()
    return sorted(sequence for sequence in found if sequence)


def test_every_value_but_the_first_is_predicted_once_and_after_the_one_before_it():
    sequences = items(9, 2, 5, 1, 14)
    chunks = cut_all(sequences, 2, 4, characters=5)
    assert read_back(chunks) == sorted(
        item.values[1:].tolist() for item in sequences if len(item.values) > 1
    )
    for chunk in chunks:
        assert chunk.values.shape == (2, 5)
        inputs, targets = chunk.values[:, :-1], chunk.values[:, 1:]
        np.testing.assert_array_equal((targets - inputs)[chunk.valid], 1)


def test_the_text_of_a_sequence_is_that_of_all_its_chunks():
    for chunk in cut_all(items(9, 9, 9), 2, 3, characters=4):
        for row in np.flatnonzero(chunk.valid.any(axis=1)):
            place = chunk.values[row, 0] // 9
            assert chunk.text[row].tolist() == [7] * place + [0] * (4 - place)


def test_a_sequence_goes_to_the_row_that_ends_first():
    parts = plan([9, 3, 5, 1], rows=2, steps=4)
    assert parts[..., 0].tolist() == [[0, 1], [0, 2]]
    assert parts[..., 1].tolist() == [[0, 0], [4, 0]]
    assert plan([9, 3], rows=3, steps=4)[1].tolist() == [[0, 4], [-1, -1], [-1, -1]]


def test_a_text_is_split_into_rows_that_lose_no_prediction():
    tokens = np.arange(11, dtype=np.int32)
    pieces = split(tokens, 3)
    assert [piece.values.tolist() for piece in pieces] == [
        [0, 1, 2, 3, 4],
        [4, 5, 6, 7, 8],
        [8, 9, 10],
    ]


def test_a_reader_gives_each_epoch_once_and_depends_on_the_number_only():
    def epoch(number):
        return items(6, 4, 8)[: 3 - number % 2]

    first = [Reader(epoch, 2, 3).read(number) for number in range(9)]
    reader = Reader(epoch, 2, 3)
    for number in (0, 1, 2, 3, 8, 7, 4, 5, 6, 0):
        for one, other in zip(reader.read(number), first[number], strict=True):
            np.testing.assert_array_equal(one, other)
    sizes = [len(plan([len(i.values) for i in epoch(number)], 2, 3)) for number in range(2)]
    one_epoch = [Reader(epoch, 2, 3).read(number) for number in range(sizes[0])]
    assert read_back(one_epoch) == sorted(item.values[1:].tolist() for item in epoch(0))
    assert first[sizes[0]].starts.all()
