from dataclasses import dataclass

from core.plugin import register


@register(
    "policy-gradient",
    kind="agent",
    build="pongan_extra.q:TabularQ",
    headline="eval/x",
    goal="max",
    clock="steps",
    summary="",
    subject="lr",
)
@dataclass(frozen=True)
class Taken:
    lr: float = 1.0
