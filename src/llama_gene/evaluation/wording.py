"""Whether a model understands a question or has only learned its words: asked in others, before and after tuning."""

from collections.abc import Sequence

from llama_gene.evaluation.evaluate import main_score
from llama_gene.evaluation.result import OtherWords
from llama_gene.inference.predictor import Predictor
from llama_gene.progress import progress
from llama_gene.tasks.task import Example, Task
from llama_gene.tasks.template import unseen_wording


def ask_in_other_words(
    before: Predictor, after: Predictor, task: Task, examples: Sequence[Example], *, batch_tokens: int
) -> OtherWords:
    """Score two models on the same rows, each asked in the task's words and in words that no training uses.

    Args:
        before: The model that was tuned, as it was before.
        after: The tuned model.
        task: One of its tasks.
        examples: The rows.
        batch_tokens: Prompt tokens in a batch.
    """
    scores = []
    with progress(f"other words {task.name}", 4 * len(examples)) as report:
        for predictor in (before, after):
            for question in (task.question, unseen_wording(task)):
                found = list(predictor.predict(task, examples, question=question, batch_tokens=batch_tokens))
                scores.append(main_score(task, examples, found))
                report(len(scores) * len(examples))
    return OtherWords(
        n=len(examples), before=scores[0], before_reworded=scores[1], after=scores[2], after_reworded=scores[3]
    )
