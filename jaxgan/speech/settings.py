"""Settings that every speech config shares; its own file says what it does differently."""

from ml_collections import ConfigDict


def data_settings() -> ConfigDict:
    """Default data settings: the demo corpus, which needs no files of the user's."""
    data = ConfigDict()
    data.kind = "demo"  # demo | pairs | voicebank | mix
    data.root = ""  # folder of the kinds pairs and voicebank
    data.speech = ""  # folder of clean speech, kind mix
    data.noise = ""  # folder of noise, kind mix
    data.snrs = (0.0, 5.0, 10.0, 15.0)  # dB, kind mix; VoiceBank-DEMAND's training set
    data.seed = 0  # decides the held-out share, the validation mixtures and the demo corpus
    data.valid_share = 0.1  # held out where a corpus has no valid folder, kinds pairs and mix
    data.valid_speakers = ("p226", "p287")  # held out, kind voicebank
    data.valid_utterances = 0  # use at most so many for validation; 0: all
    data.demo = ConfigDict()
    data.demo.train = 400  # utterances, kind demo
    data.demo.valid = 40
    data.demo.test = 40
    data.longest_seconds = 20.0  # longer utterances are left out: PESQ fails on long ones
    data.strict = False  # True: refuse to start if any file cannot be used
    data.buckets = 4  # lengths that utterances are padded to, each compiled once
    data.resident_megabytes = 4096  # a fixed corpus up to this size is kept on the device
    return data


def run_settings() -> ConfigDict:
    """Default settings of a run, whatever its recipe."""
    config = ConfigDict()
    config.seed = 0
    config.init_from = ""  # a finished run whose networks this one begins with
    config.debug_nans = False  # raise at the operation that made a NaN; slow
    config.dtype = "float32"  # or bfloat16: of the networks' computation, not of parameters

    config.scoring = ConfigDict()
    config.scoring.where = "host"  # host | device | auto: the scores that training needs
    config.scoring.delay = 0  # host: 0 within a step; 1 beside the replay pass, which comes first
    config.scoring.workers = 0  # processes; 0: one a core
    config.scoring.deadline_seconds = 30.0  # for one score of one utterance

    config.data = data_settings()
    # 32 ms windows that overlap by half: the authors of MetricGAN, and most of the field at 16 kHz.
    config.front_end = ConfigDict({"sample_rate": 16000, "hop": 256})  # Hz; samples, half a frame

    config.validation = ConfigDict()
    config.validation.every = 1  # rounds
    config.validation.utterances = 100  # evenly taken; the last round does all, too; 0: always all
    config.validation.scores = ("stoi",)  # beside config.score
    config.checkpoint = ConfigDict({"every": 5})  # rounds; the best and the last are kept
    return config
