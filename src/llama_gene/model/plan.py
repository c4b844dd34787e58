"""What a training takes, before it is started: parameters, memory by part, FLOPs, hours.

Everything is closed arithmetic on an `Architecture` and the training settings, and follows what ``training`` does:
weights in fp32, bf16 by autocast, AdamW, packed rows with a document mask, and a loss that never holds all logits.
``benchmarks/plan.py`` compares it with measured steps.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from llama_gene.config import TrainingSettings
from llama_gene.model.architecture import Architecture
from llama_gene.model.gpu import GIB, GPUS, Gpu

Strategy = Literal["one", "DDP", "FSDP2", "ZeRO-2", "ZeRO-3"]
Device = Literal["cuda", "cpu"]

SHARED: Final[tuple[Strategy, ...]] = ("DDP", "FSDP2", "ZeRO-2", "ZeRO-3")
BY_SETTING: Final[dict[str, Strategy]] = {"ddp": "DDP", "fsdp": "FSDP2", "zero2": "ZeRO-2", "zero3": "ZeRO-3"}
OVERHEAD: Final = 1.5 * GIB  # CUDA context, cuBLAS and NCCL buffers, and what the allocator loses between blocks

_FP32, _BF16 = 4, 2
_ADAM = 8  # two fp32 moments for each parameter that trains
_FOUR_BITS = 0.516  # bytes: four bits, and an 8-bit scale for each block of 64


@dataclass(frozen=True, slots=True)
class Trainable:
    """How many parameters train, by part.

    Attributes:
        linear: Of the linear projections themselves.
        adapters: Of LoRA beside them.
        rows: Of embedding and head.
        other: Norms, biases, positions.
        num_rows: Rows of each row matrix that train.
    """

    linear: int
    adapters: int
    rows: int
    other: int
    num_rows: int

    @property
    def total(self) -> int:
        """All that trains."""
        return self.linear + self.adapters + self.rows + self.other


@dataclass(frozen=True, slots=True)
class Flops:
    """FLOPs of one token in one part; a multiply-add is two.

    Attributes:
        forward: Once through.
        backward: Gradients of activations, and of the weights that train.
        again: What gradient checkpointing computes a second time.
    """

    forward: float
    backward: float
    again: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.forward + self.backward + self.again


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """What one training takes.

    Attributes:
        num_parameters: All parameters, adapters included.
        trainable: Those that train.
        tokens: Tokens trained on, over all GPUs.
        batch_tokens: Tokens in an optimizer step, over all GPUs.
        flops: Of one token, by part.
        memory: Bytes on each GPU, by strategy and by part.
        gpu: The GPU planned for.
        num_gpus: How many of them.
        hours: Wall time at the stated utilisation, without reading, validation and checkpoints.
    """

    num_parameters: int
    trainable: Trainable
    tokens: int
    batch_tokens: int
    flops: Mapping[str, Flops]
    memory: Mapping[Strategy, Mapping[str, float]]
    gpu: Gpu
    num_gpus: int
    hours: float

    @property
    def share(self) -> float:
        """The share of the parameters that trains."""
        return self.trainable.total / self.num_parameters

    @property
    def num_steps(self) -> int:
        """Optimizer steps."""
        return self.tokens // self.batch_tokens

    @property
    def flops_per_token(self) -> float:
        """FLOPs of one token, all parts together."""
        return sum(part.total for part in self.flops.values())

    def fits(self) -> list[Strategy]:
        """The strategies whose memory the GPU has."""
        return [name for name, parts in self.memory.items() if sum(parts.values()) <= self.gpu.memory * GIB]


def plan_training(
    architecture: Architecture,
    settings: TrainingSettings,
    *,
    tokens: int,
    num_new_rows: int,
    gpu: Gpu,
    num_gpus: int = 1,
    utilisation: float = 0.4,
) -> TrainingPlan:
    """Plan one training.

    Args:
        architecture: The grown model.
        settings: What trains, batch, precision, checkpointing.
        tokens: Tokens to train on.
        num_new_rows: Rows of embedding and head that are DNA's or protein's.
        gpu: The GPU.
        num_gpus: How many of them share the rows of a step.
        utilisation: The share of the GPU's peak that is reached, all FLOPs counted.
    """
    mine = settings.shared_by(num_gpus)
    flops = count_flops(architecture, settings, num_new_rows)
    strategies: tuple[Strategy, ...] = ("one",) if num_gpus == 1 else SHARED
    total = tokens * sum(part.total for part in flops.values())
    return TrainingPlan(
        num_parameters=architecture.num_parameters + _num_adapters(architecture, settings),
        trainable=count_trainable(architecture, settings, num_new_rows),
        tokens=tokens,
        batch_tokens=settings.batch_size * settings.accumulate * settings.block_size,
        flops=flops,
        memory={
            name: memory_of(architecture, mine, num_new_rows, strategy=name, num_gpus=num_gpus) for name in strategies
        },
        gpu=gpu,
        num_gpus=num_gpus,
        hours=total / (gpu.peak(settings.precision) * utilisation * num_gpus) / 3600,
    )


def _num_adapters(architecture: Architecture, settings: TrainingSettings) -> int:
    if settings.adapters is None:
        return 0
    # DoRA learns a length for each output as well.
    lengths = sum(matrix.outputs * matrix.count for matrix in architecture.matrices) if settings.adapters.dora else 0
    return architecture.num_lora(settings.adapters.rank) + lengths


def count_trainable(architecture: Architecture, settings: TrainingSettings, num_new_rows: int) -> Trainable:
    """Which parameters train under ``settings.train``."""
    everything = settings.train == "all"
    num_rows = {"all": architecture.rows, "lora+embeddings": architecture.rows, "lora+new-rows": num_new_rows}.get(
        settings.train, 0
    )
    return Trainable(
        linear=architecture.num_linear if everything else 0,
        adapters=_num_adapters(architecture, settings),
        rows=architecture.num_row_matrices * num_rows * architecture.hidden,
        other=architecture.num_other if everything else 0,
        num_rows=num_rows,
    )


def count_flops(architecture: Architecture, settings: TrainingSettings, num_new_rows: int) -> dict[str, Flops]:
    """FLOPs of one token, by part.

    A frozen matrix needs no gradient of its own, only that of what goes through it. Attention is counted over the whole
    row, as a kernel with a document mask computes it. Element-wise work is not counted: it is bandwidth, not FLOPs.
    """
    trainable = count_trainable(architecture, settings, num_new_rows)
    again = 1.0 if settings.gradient_checkpointing else 0.0
    linear = 2.0 * architecture.num_linear
    # Scores and mix, forward; backward computes the scores again and two gradients of each.
    attention = 4.0 * settings.block_size * architecture.num_heads * architecture.head_dim * architecture.num_layers
    adapters = 2.0 * architecture.num_lora(settings.adapters.rank) if settings.adapters else 0.0
    head = 2.0 * architecture.rows * architecture.hidden
    parts = {
        "linear": Flops(linear, linear + 2.0 * trainable.linear, linear * again),
        "attention": Flops(attention, 2.5 * attention, attention * again),
        "head": Flops(head, head + 2.0 * trainable.num_rows * architecture.hidden, 0.0),
    }
    if adapters:
        parts["adapters"] = Flops(adapters, 2.0 * adapters, adapters * again)
    return parts


def memory_of(
    architecture: Architecture,
    settings: TrainingSettings,
    num_new_rows: int,
    *,
    strategy: Strategy = "one",
    num_gpus: int = 1,
    device: Device = "cuda",
) -> dict[str, float]:
    """Bytes on each GPU at the peak, by part.

    DDP keeps everything whole, and a copy of the gradients in its buckets. FSDP2 shards what it keeps and gathers two
    layers and the rows. DeepSpeed in bf16 keeps bf16 weights and gradients beside fp32 masters of what trains.

    Args:
        architecture: The grown model.
        settings: What trains, batch, precision, checkpointing.
        num_new_rows: As for `plan_training`.
        strategy: How the GPUs share the work.
        num_gpus: How many there are.
        device: Dropout keeps a byte for each value on CUDA and a whole value on the CPU.
    """
    trainable = count_trainable(architecture, settings, num_new_rows)
    mixed = settings.precision == "bf16"
    compute = _BF16 if mixed else _FP32
    deepspeed = strategy in {"ZeRO-2", "ZeRO-3"}
    weight = _BF16 if deepspeed and mixed else _FP32
    four_bits = settings.adapters is not None and settings.adapters.load_in_4bit
    num_quantized = architecture.num_linear if four_bits else 0
    num_rest = architecture.num_parameters + trainable.adapters - num_quantized
    weights = num_quantized * _FOUR_BITS + num_rest * weight
    gradients = float(trainable.total * weight)
    optimizer = float(trainable.total * (_ADAM + (_FP32 if deepspeed and mixed else 0)))
    exchange = 0.0
    if strategy == "DDP":
        exchange = gradients
    if strategy in {"FSDP2", "ZeRO-3"}:
        layer = architecture.num_linear / architecture.num_layers
        rows = architecture.num_rows_parameters
        gathered = _FP32 if strategy == "FSDP2" else compute  # FSDP2 gathers fp32, and autocast casts it
        exchange = gathered * (2 * layer + rows + trainable.rows)
        weights /= num_gpus
    if strategy in {"FSDP2", "ZeRO-2", "ZeRO-3"}:
        gradients /= num_gpus
        optimizer /= num_gpus
    activations, copies = _activations(architecture, settings, trainable, device)
    if deepspeed and mixed:
        copies = 0.0  # the weights are bf16 as they lie
    parts = {
        "weights": weights,
        "gradients": gradients,
        "optimizer": optimizer,
        "exchange": exchange,
        "bf16 copies": copies,
        "activations": activations,
        "loss": _loss(architecture, settings, trainable),
        "framework": OVERHEAD if device == "cuda" else 0.0,
    }
    return {name: size for name, size in parts.items() if size}


def _activations(
    architecture: Architecture, settings: TrainingSettings, trainable: Trainable, device: Device
) -> tuple[float, float]:
    """Bytes that the forward pass keeps for the backward pass: values, and bf16 copies of fp32 weights."""
    mixed = settings.precision == "bf16"
    size = _BF16 if mixed else _FP32
    hidden, num_tokens = architecture.hidden, settings.batch_size * settings.block_size
    attention = architecture.num_heads * architecture.head_dim
    per_layer = [(m.inputs, m.count / architecture.num_layers) for m in architecture.matrices]
    inputs = sum(width * count for width, count in per_layer)
    # Two norms keep the residual stream, which stays fp32; a norm that trains keeps what it scales as well.
    kept = 2.0 * _FP32 * hidden * (2 if trainable.other else 1)
    kept += 4 * size * attention  # queries, keys and values (one a query head, for the mask), and what comes out
    kept += size * settings.block_size  # the document mask, as the kernel wants it
    kept += _FP32 * architecture.num_heads + 2 * _FP32
    kept += size * architecture.intermediate * (3 if architecture.gated else 2)
    if trainable.linear:
        # Each projection keeps its input. Autocast makes a copy for each; in fp32 neighbours share one. What attention
        # puts out is there already.
        shared = 2.0 * hidden + architecture.intermediate
        kept += size * ((inputs - attention) if mixed else shared)
    elif settings.adapters is not None:
        rank = settings.adapters.rank
        kept += size * sum(rank * count for _, count in per_layer)
        if settings.adapters.dropout:
            mask = 1 if device == "cuda" else _FP32
            kept += (size + mask) * inputs
        else:
            kept += size * (inputs if mixed else 2.0 * hidden + architecture.intermediate)
    copies = 0.0
    if mixed:
        # Autocast casts every fp32 matrix; under checkpointing only those that train stay cast till the loss.
        layer = architecture.num_linear / architecture.num_layers
        if settings.gradient_checkpointing:
            copies = _BF16 * (trainable.linear + trainable.adapters + (0 if trainable.linear else layer))
        else:
            copies = _BF16 * (architecture.num_linear + trainable.adapters)
    if settings.gradient_checkpointing:
        # The input of every layer, and all of the one that is computed again.
        values = num_tokens * (_FP32 * hidden * architecture.num_layers + kept)
    else:
        values = num_tokens * kept * architecture.num_layers
    return values, copies


def _loss(architecture: Architecture, settings: TrainingSettings, trainable: Trainable) -> float:
    """Bytes of the chunked loss: a chunk's logits and what is made of them, the hidden states, the head's gradient."""
    from llama_gene.model.head import chunk_length

    mixed = settings.precision == "bf16"
    rows, hidden = architecture.rows, architecture.hidden
    num_tokens = settings.batch_size * settings.block_size
    chunk = min(chunk_length(rows, hidden), num_tokens)
    logits = _FP32 * chunk * rows
    product = _BF16 * (chunk * rows + trainable.num_rows * hidden) if mixed else 0
    size = logits + max(logits, product) + 2.0 * _FP32 * num_tokens * hidden
    if mixed:
        size += _BF16 * (rows + num_tokens) * hidden
    if settings.accumulate > 1:
        # The gradient of the head is made whole, and then added to that of the micro-batches before.
        size += _FP32 * trainable.num_rows * hidden
    return size


@dataclass(frozen=True, slots=True)
class Remedy:
    """A change that makes an impossible training possible."""

    change: str
    strategy: Strategy
    gib: float


def remedies(
    architecture: Architecture, settings: TrainingSettings, num_new_rows: int, gpu: Gpu, num_gpus: int
) -> list[Remedy]:
    """Changes of a recipe with which the training fits the GPU, and the smallest larger GPU that it fits as it is.

    What leaves the result as it is comes first: checkpointing, smaller micro-batches; then less that trains.
    """
    mine = settings.shared_by(num_gpus)
    each = mine.batch_size * mine.accumulate
    halved = max(size for size in range(1, max(1, mine.batch_size // 8) + 1) if each % size == 0)
    smaller: dict[str, int | str | bool] = {"batch_size": halved, "accumulate": num_gpus * each // halved}
    changes: list[dict[str, int | str | bool]] = []
    if not settings.gradient_checkpointing:
        changes.append({"gradient_checkpointing": True})
    if mine.batch_size > 1:
        changes += [smaller, {"gradient_checkpointing": True, **smaller}]
    if settings.train != "lora+new-rows":
        changes.append({"train": "lora+new-rows", "gradient_checkpointing": True, **smaller})
    found = []
    strategies: tuple[Strategy, ...] = ("one",) if num_gpus == 1 else SHARED
    for change in changes:
        changed = mine.model_copy(update=change)
        for name in strategies:
            size = _size(architecture, changed, num_new_rows, name, num_gpus)
            if size <= gpu.memory * GIB:
                said = ", ".join(f"{key}={_toml(value)}" for key, value in change.items())
                found.append(Remedy(said, name, size / GIB))
                break
    for other in GPUS:
        if other.memory > gpu.memory:
            name = min(strategies, key=lambda name: _size(architecture, mine, num_new_rows, name, num_gpus))
            size = _size(architecture, mine, num_new_rows, name, num_gpus)
            if size <= other.memory * GIB:
                found.append(Remedy(f"plan.gpu={other.name}", name, size / GIB))
                break
    return found


def _size(
    architecture: Architecture, settings: TrainingSettings, num_new_rows: int, strategy: Strategy, num_gpus: int
) -> float:
    return sum(memory_of(architecture, settings, num_new_rows, strategy=strategy, num_gpus=num_gpus).values())


def _toml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
