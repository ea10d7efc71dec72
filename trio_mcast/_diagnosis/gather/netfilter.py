"""The rules of nftables that drop, as ``nft -j list ruleset`` lists them; that takes root.

The rules of iptables are among them, where iptables is the one that writes to nftables.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
import trio

from ..evidence import DroppingRule


async def list_dropping_rules() -> list[DroppingRule] | str:
    """Return the rules and policies that drop, or the reason why they cannot be listed."""
    program = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        return "nft is not installed; the rules may be shown by another program"
    try:
        result = await trio.run_process(
            [program, "-j", "list", "ruleset"],
            capture_stdout=True,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        if result.returncode:
            return "listing the rules of the packet filter takes root, or CAP_NET_ADMIN"
        return list(parse_ruleset(json.loads(result.stdout)))
    except (OSError, ValueError) as error:
        return f"nft -j list ruleset: {error}"


def parse_ruleset(ruleset: Mapping[str, Any]) -> Iterator[DroppingRule]:
    """Yield the rules and policies that drop."""
    entries: Sequence[Mapping[str, Any]] = ruleset.get("nftables", ())
    hooks = {}
    for entry in entries:
        if chain := entry.get("chain"):
            place = f"{chain['family']} {chain['table']} {chain['name']}"
            hooks[place] = hook = str(chain.get("hook", ""))
            if chain.get("policy") == "drop":
                yield DroppingRule(place, hook, "policy drop", None, None)
    for entry in entries:
        if rule := entry.get("rule"):
            place = f"{rule['family']} {rule['table']} {rule['chain']}"
            expressions = rule.get("expr", ())
            if _drops(expressions):
                yield DroppingRule(
                    place,
                    hooks.get(place, ""),
                    f"rule with handle {rule['handle']}",
                    *[_packets(expressions)] * 2,
                )


def _drops(part: Any) -> bool:
    """Tell whether there is a verdict to drop or reject in a part of a rule, as in a map."""
    if isinstance(part, Mapping):
        is_verdict = "drop" in part or "reject" in part
        # iptables has targets of its own.
        is_target = part.get("type") == "target" and part.get("name") == "REJECT"
        return is_verdict or is_target or any(map(_drops, part.values()))
    return isinstance(part, Sequence) and not isinstance(part, str) and any(map(_drops, part))


def _packets(expressions: Sequence[Mapping[str, Any]]) -> int | None:
    for part in expressions:
        counter = part.get("counter")
        if isinstance(counter, Mapping):
            return int(counter["packets"])
    return None


def with_later(
    before: Sequence[DroppingRule], after: Sequence[DroppingRule]
) -> tuple[DroppingRule, ...]:
    """Return the rules with what they have counted before and after."""
    later = {(rule.place, rule.text): rule.after for rule in after}
    return tuple(
        attrs.evolve(rule, after=later.get((rule.place, rule.text), rule.after)) for rule in before
    )
