"""The parts of SeqGAN in plain PyTorch, in the usual style: modules, a loop over batches, autograd.

It is written from the description of the method, with the sizes and the losses of jaxgan. Roll-outs
are completed prefix by prefix, all sequences and all repetitions of one prefix together, one token
per step by `torch.multinomial`.
"""

import torch
from torch import nn
from torch.nn import functional

START = 0


class Generator(nn.Module):
    """A language model with one LSTM."""

    def __init__(self, vocabulary: int, embedding: int, hidden: int) -> None:
        super().__init__()
        self.table = nn.Embedding(vocabulary, embedding)
        self.lstm = nn.LSTM(embedding, hidden, batch_first=True)
        self.output = nn.Linear(hidden, vocabulary)
        for parameter in self.parameters():
            nn.init.normal_(parameter, 0.0, 0.1)

    def forward(
        self, tokens: torch.Tensor, state: tuple[torch.Tensor, torch.Tensor] | None = None
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        """Returns logits [B, T, V] of the tokens after int64 [B, T], and the last state."""
        hidden, state = self.lstm(self.table(tokens), state)
        return self.output(hidden), state

    def nll(self, tokens: torch.Tensor) -> torch.Tensor:
        """Returns the mean of -log p over tokens int64 [B, T]."""
        logits, _ = self(functional.pad(tokens[:, :-1], (1, 0), value=START))
        return functional.cross_entropy(logits.flatten(0, 1), tokens.flatten())

    @torch.no_grad()
    def complete(self, given: torch.Tensor, length: int) -> torch.Tensor:
        """Completes prefixes int64 [B, p] to [B, length]."""
        logits, state = self(functional.pad(given, (1, 0), value=START))
        tokens = [given]
        for place in range(given.shape[1], length):
            token = torch.multinomial(torch.softmax(logits[:, -1], dim=-1), 1)
            tokens.append(token)
            if place + 1 < length:
                logits, state = self(token, state)
        return torch.cat(tokens, dim=1)


class Discriminator(nn.Module):
    """Convolutions over time, one highway layer, two logits."""

    def __init__(
        self,
        vocabulary: int,
        embedding: int,
        widths: tuple[int, ...],
        filters: tuple[int, ...],
        dropout: float,
    ) -> None:
        super().__init__()
        self.table = nn.Embedding(vocabulary, embedding)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(embedding, count, width) for width, count in zip(widths, filters, strict=True)
        )
        self.highway = nn.Linear(sum(filters), 2 * sum(filters))
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(sum(filters), 2)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Returns logits [B, 2] of sequences int64 [B, T]."""
        embedded = self.table(tokens).transpose(1, 2)
        pooled = [functional.relu(layer(embedded)).amax(dim=2) for layer in self.convolutions]
        features = torch.cat(pooled, dim=1)
        transform, gate = self.highway(features).chunk(2, dim=1)
        gate = torch.sigmoid(gate)
        features = gate * functional.relu(transform) + (1 - gate) * features
        return self.output(self.dropout(features))


def likelihood_step(
    generator: Generator, optimizer: torch.optim.Optimizer, tokens: torch.Tensor, clip: float
) -> float:
    """Moves G once and returns the loss."""
    optimizer.zero_grad()
    loss = generator.nll(tokens)
    loss.backward()
    nn.utils.clip_grad_norm_(generator.parameters(), clip)
    optimizer.step()
    return loss.item()


def discriminator_step(
    discriminator: Discriminator,
    optimizer: torch.optim.Optimizer,
    tokens: torch.Tensor,
    labels: torch.Tensor,
    penalty: float,
) -> float:
    """Moves D once and returns the loss."""
    optimizer.zero_grad()
    squares = sum(parameter.square().sum() for parameter in discriminator.output.parameters())
    loss = functional.cross_entropy(discriminator(tokens), labels) + penalty * squares / 2
    loss.backward()
    optimizer.step()
    return loss.item()


@torch.no_grad()
def rewards(
    generator: Generator, discriminator: Discriminator, tokens: torch.Tensor, roll_outs: int
) -> torch.Tensor:
    """Returns the reward of every token of int64 [B, T]: [B, T]."""
    discriminator.eval()
    batch, length = tokens.shape
    values = []
    for given in range(1, length):
        prefixes = tokens[:, :given].repeat(roll_outs, 1)
        completed = generator.complete(prefixes, length)
        judged = torch.softmax(discriminator(completed), dim=1)[:, 1]
        values.append(judged.reshape(roll_outs, batch).mean(0))
    values.append(torch.softmax(discriminator(tokens), dim=1)[:, 1])
    discriminator.train()
    return torch.stack(values, dim=1)
