"""The questions of the page are asked again, and are answered in the same way."""

from __future__ import annotations

from typing import Any

import pytest

from support import questions
from support.questions import Question

QUESTIONS = questions.questions()


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: f"line-{question.line}")
def test_answer_is_that_of_the_page(question: Question, proof: Any) -> None:
    """Made of the same lines; ids, times, numbers and how many there are differ."""
    stack = proof.stack
    addresses = {
        "localhost:9090": stack.prometheus.address("http"),
        "localhost:9200": stack.elasticsearch.address("http"),
        "localhost:16686": stack.jaeger.address("query"),
    }
    answer = questions.ask(question.command, addresses, at=proof.end)
    assert questions.made_of(answer) == questions.made_of(question.answer) != set()
