"""A recipe: TOML and ``section.key=value`` overrides become typed settings, validated once.

Paths in a recipe are relative to ``data.root``, so that one recipe serves any machine; ``data.root`` and ``output``
are relative to the current folder.
"""

from llama_gene.config.corpus import CorpusSettings, DecontaminateSettings, Modality, ModalityWeights, SourceSettings
from llama_gene.config.data import DataFileSettings, DataSettings, SimulateSettings
from llama_gene.config.evaluation import EvaluationSettings, LeakageSettings
from llama_gene.config.files import find_files
from llama_gene.config.model import ModelSettings
from llama_gene.config.problems import explain, keys_at, settings_in, validate
from llama_gene.config.recipe import PlanSettings, Recipe, load_recipe
from llama_gene.config.section import Settings
from llama_gene.config.training import LoraSettings, PretrainSettings, Strategy, Tracker, TrainedParts, TrainingSettings
from llama_gene.config.tuning import Contradictions, FinetuneSettings, InstructionSettings, TasksSettings
from llama_gene.config.vocabulary import PiecesSettings, Scheme, VocabularySettings

__all__ = [
    "Contradictions",
    "CorpusSettings",
    "DataFileSettings",
    "DataSettings",
    "DecontaminateSettings",
    "EvaluationSettings",
    "FinetuneSettings",
    "InstructionSettings",
    "LeakageSettings",
    "LoraSettings",
    "Modality",
    "ModalityWeights",
    "ModelSettings",
    "PiecesSettings",
    "PlanSettings",
    "PretrainSettings",
    "Recipe",
    "Scheme",
    "Settings",
    "SimulateSettings",
    "SourceSettings",
    "Strategy",
    "TasksSettings",
    "Tracker",
    "TrainedParts",
    "TrainingSettings",
    "VocabularySettings",
    "explain",
    "find_files",
    "keys_at",
    "load_recipe",
    "settings_in",
    "validate",
]
