"""`network_test`: makes a test of an async function that gets a virtual network."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import wraps
from typing import Final, TypeAlias, overload

import trio
from trio.testing import MockClock

from .._values.numbers import parse_int
from ._arguments import check_seed
from ._network import VirtualNetwork

# The length of the end of the trace that is printed when a test fails.
_SHOWN_EVENTS: Final = 30

# The exceptions with which a test of pytest or unittest says that it does not apply.
_SKIPS: Final = frozenset({"Skipped", "SkipTest"})

# More networks than a test can run through.
_MOST_SEEDS: Final = 1_000_000

AsyncTest: TypeAlias = Callable[..., Awaitable[object]]
Test: TypeAlias = Callable[..., None]


@overload
def network_test(function: AsyncTest, /) -> Test: ...


@overload
def network_test(
    *, seeds: int | Iterable[int] = 1, shown: int = _SHOWN_EVENTS
) -> Callable[[AsyncTest], Test]: ...


def network_test(
    function: AsyncTest | None = None,
    /,
    *,
    seeds: int | Iterable[int] = 1,
    shown: int = _SHOWN_EVENTS,
) -> Test | Callable[[AsyncTest], Test]:
    """Make a test of an ``async`` function whose parameter ``network`` is a `VirtualNetwork`.

    ``@network_test`` stands above the function, or ``@network_test(seeds=20)``. The test runs the
    function with `trio.run` and with a `trio.testing.MockClock` that jumps to the next time at
    which something happens, so that no test waits in real time. It is a plain function: pytest runs
    it with and without pytest-trio, and so does `unittest`. All other parameters of the function
    stay those of the test, so fixtures that are not ``async`` and ``pytest.mark.parametrize`` work.

    If the function fails, the seed and the end of the trace are printed to stderr, which pytest
    shows with the failure. Its exception leaves the test unchanged.

    Args:
        function: The function.
        seeds: A number ``n`` for the seeds 0 to ``n - 1``, or an iterable of seeds, such as
            ``[13]``. The function runs once for each, in a new network, until it fails.
        shown: The number of events of the trace that are printed at most.

    Raises:
        TypeError: The function is not ``async`` or has no parameter ``network``, or a seed or a
            number is not an int.
        ValueError: There are no seeds, or ``shown`` is negative.
    """
    all_seeds = _parse_seeds(seeds)
    parse_int(shown, "shown", 0)

    def decorate(function: AsyncTest) -> Test:
        signature = _signature_without_network(function)

        @wraps(function)
        def test(*args: object, **kwargs: object) -> None:
            for seed in all_seeds:
                network = VirtualNetwork(seed=seed)
                try:
                    trio.run(
                        _run, function, network, args, kwargs, clock=MockClock(autojump_threshold=0)
                    )
                except BaseException as error:
                    if type(error).__name__ not in _SKIPS:
                        _print_failure(network, seed, all_seeds, shown)
                    raise

        test.__signature__ = signature  # type: ignore[attr-defined]
        # pytest-trio leaves a function alone that says so, though a mark of its module be trio's.
        test._trio_test_runner_wrapped = True  # type: ignore[attr-defined]
        return test

    return decorate if function is None else decorate(function)


async def _run(
    function: AsyncTest, network: VirtualNetwork, args: Sequence[object], kwargs: dict[str, object]
) -> None:
    async with network:
        await function(*args, **kwargs, network=network)


def _parse_seeds(seeds: int | Iterable[int]) -> tuple[int, ...]:
    if isinstance(seeds, bool) or not isinstance(seeds, (int, Iterable)):
        raise TypeError(
            f"seeds must be an int or an iterable of ints, not {type(seeds).__name__}: {seeds!r}"
        )
    if isinstance(seeds, int):
        parse_int(seeds, "seeds", 1, _MOST_SEEDS)
    numbers = tuple(range(seeds) if isinstance(seeds, int) else seeds)
    for number in numbers:
        check_seed(number)
    if not numbers:
        raise ValueError(f"seeds={seeds!r}: at least one seed is needed")
    return numbers


def _signature_without_network(function: AsyncTest) -> inspect.Signature:
    """Return the signature that the test has: that of the function, less the network.

    Raises:
        TypeError: The function is not async, or has no such parameter.
    """
    if not inspect.iscoroutinefunction(function):
        raise TypeError(
            f"network_test makes a test of an async function, not of {function!r}: write "
            "'@network_test' above 'async def', and options in its parentheses by name"
        )
    signature = inspect.signature(function)
    if "network" not in signature.parameters:
        raise TypeError(f"{function.__qualname__} has no parameter 'network': it would get one")
    return signature.replace(
        parameters=[each for each in signature.parameters.values() if each.name != "network"],
        return_annotation=None,
    )


def _print_failure(
    network: VirtualNetwork, seed: int, all_seeds: Sequence[int], shown: int
) -> None:
    """Print the seed and the end of the trace of a test that failed."""
    of_many = f" of {len(all_seeds)} seeds" if len(all_seeds) > 1 else ""
    lines = [
        f"The test failed with seed {seed}{of_many}: @network_test(seeds=[{seed}]) repeats it."
    ]
    events = network.trace
    last = events[-shown:] if shown else []
    if last:
        lines.append(f"The last {len(last)} of {len(events)} events:")
        lines += map(str, last)
    print(*lines, sep="\n", file=sys.stderr)
