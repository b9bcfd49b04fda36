"""A run as a model of EleutherAI's lm-evaluation-harness (extra `eval`), for everybody's tasks.

    python -m trainer.evaluation.harness --model glam --model_args run=RUN,store=STORE --tasks NAME --include_path DIR

takes all of the harness's own options. A prompt begins with the document start, and contexts and continuations are
encoded apart, as in our own evaluation; blanks at the end of a context go to the continuation, as the harness does it.
A prompt that exceeds the context loses its beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model

from pipelines.store.versions import find_version
from trainer.evaluation.checkpoint import load_checkpoint
from trainer.evaluation.evaluated_model import LikelihoodRequest
from trainer.evaluation.windows import text_windows
from trainer.generation.generate import generate
from trainer.generation.settings import GenerationSettings
from trainer.run_folder import read_run

MOST_TOKENS = 64
"""Decoded where a task does not say."""


@register_model("glam")
class HarnessModel(TemplateLM):
    """The newest checkpoint of a finished run; `model` is the one that our own evaluation asks.

    Args:
        run: its folder.
        store: that holds the version it was trained on.
    """

    def __init__(self, run: str, store: str = "store", **_: Any) -> None:
        super().__init__()
        self.model = load_checkpoint(run, find_version(store, read_run(run)["version"]["id"]))

    @property
    def eot_token_id(self) -> int:
        """The document start, which ends a document too."""
        return self.model.document_start

    @property
    def max_length(self) -> int:
        """Tokens that the model reads at most."""
        return self.model.context

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:  # noqa: ARG002
        """Return token ids without the document start."""
        return self.model.encode([string])[0].tolist()

    def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        bare = context.rstrip()
        start, rest = self.model.encode([bare, context[len(bare) :] + continuation])
        return [self.eot_token_id, *start.tolist()], rest.tolist()

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[Any, list[int], list[int]]], **_: Any
    ) -> list[tuple[float, bool]]:
        made = []
        for _, context, continuation in requests:
            tokens = np.array([*context, *continuation], np.int32)[-self.max_length - 1 :]
            made.append(LikelihoodRequest(tokens, max(1, len(tokens) - len(continuation))))
        likelihoods, greedy = self.model.score(made)
        return list(zip(likelihoods.tolist(), greedy.tolist(), strict=True))

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:  # noqa: ARG002
        """Return the log-likelihood of whole texts, by windows that share nothing."""
        encoded = self.model.encode([request.args[0] for request in requests])
        windows = [
            [
                LikelihoodRequest(*window)
                for window in text_windows(np.array([self.eot_token_id, *tokens]), self.max_length)
            ]
            for tokens in encoded
        ]
        scores = iter(self.model.log_likelihoods([window for text in windows for window in text]).tolist())
        return [sum(next(scores) for _ in text) for text in windows]

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:  # noqa: ARG002
        """Return what follows each context, by the way of decoding that its task asks for."""
        answers = [""] * len(requests)
        alike: dict[GenerationSettings, list[int]] = {}
        for number, request in enumerate(requests):
            alike.setdefault(self._decoding(request.args[1]), []).append(number)
        for settings, numbers in alike.items():
            prompts = self.model.writer.encode([requests[number].args[0] for number in numbers])
            for number, made in zip(numbers, generate(self.model.writer, prompts, settings), strict=True):
                answers[number] = made.text
        return answers

    def _decoding(self, options: dict[str, Any]) -> GenerationSettings:
        until = options.get("until") or []
        beams, temperature = int(options.get("num_beams", 1)), float(options.get("temperature") or 0.0)
        sampled = bool(options.get("do_sample", temperature > 0)) and temperature > 0
        return GenerationSettings(
            max_tokens=min(int(options.get("max_gen_toks", MOST_TOKENS)), self.max_length - 1),
            method="sample" if sampled else "beam" if beams > 1 else "greedy",
            beam_width=beams,
            temperature=temperature if sampled else 1.0,
            top_k=int(options.get("top_k", 0)),
            stop=tuple(text for text in ([until] if isinstance(until, str) else until) if text),
        )


if __name__ == "__main__":
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()
