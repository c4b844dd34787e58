"""The GPUs that a plan can be made for: what their makers say of them."""

from dataclasses import dataclass

from llama_gene.errors import SettingsError

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU.

    Attributes:
        name: As a recipe names it.
        memory: GiB that its driver reports as usable, a little less than the name says.
        bf16: Peak of dense matrix products in bf16 with fp32 accumulation, in TFLOP/s; 0 where it has none.
        fp32: Peak in fp32, as PyTorch computes by default (no TF32), in TFLOP/s.
        source: Where the peaks are written.
    """

    name: str
    memory: float
    bf16: float
    fp32: float
    source: str

    def peak(self, precision: str) -> float:
        """FLOP/s at best in ``"bf16"`` or ``"fp32"``."""
        return (self.bf16 if precision == "bf16" and self.bf16 else self.fp32) * 1e12


# Peaks are without sparsity; data sheets often print twice as much.
GPUS: tuple[Gpu, ...] = (
    Gpu("A100-40GB", 39.5, 312.0, 19.5, "NVIDIA A100 data sheet (SXM)"),
    Gpu("A100-80GB", 79.2, 312.0, 19.5, "NVIDIA A100 data sheet (SXM)"),
    Gpu("H100", 79.2, 989.4, 66.9, "NVIDIA H100 data sheet (SXM)"),
    Gpu("H200", 139.8, 989.4, 66.9, "NVIDIA H200 data sheet (SXM)"),
    Gpu("L40S", 44.4, 362.05, 91.6, "NVIDIA L40S data sheet"),
    Gpu("RTX-4090", 23.6, 165.2, 82.6, "NVIDIA Ada GPU architecture white paper, table 2"),
    Gpu("RTX-3090", 23.6, 71.0, 35.6, "NVIDIA GA102 GPU architecture white paper, table 2"),
    Gpu("V100-32GB", 31.7, 0.0, 15.7, "NVIDIA V100 data sheet (SXM2); no bf16"),
)


def find_gpu(name: str) -> Gpu:
    """The GPU of that name; case and hyphens do not matter.

    Raises:
        SettingsError: It is not in the table.

    >>> find_gpu("rtx4090").name
    'RTX-4090'
    """
    for gpu in GPUS:
        if _plain(gpu.name) == _plain(name):
            return gpu
    known = ", ".join(gpu.name for gpu in GPUS)
    raise SettingsError(f"no GPU is named {name!r}", hint=f"known: {known}; a new one is a line in model/gpu.py")


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
