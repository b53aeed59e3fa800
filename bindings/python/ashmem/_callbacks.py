# SPDX-License-Identifier: MIT
"""Functions of the program that the library calls, and handles that end with their object.

The C side gets functions that live as long as the module, and a number by which they find the
program's own. So a call that comes while a subscription ends, or from within it, meets a function
that exists; it finds the number gone and does nothing.
"""

import itertools
import weakref
from typing import Any, Callable, Dict, Optional

from . import _native
from ._native import check

_numbers = itertools.count(1)
_called: Dict[int, Any] = {}


def register(called: Any) -> int:
    """A number for what a callback needs; `Closable._begin` forgets it in the end."""
    number = next(_numbers)
    _called[number] = called
    return number


def callback(kind: Any, what: str, default: Any) -> Callable[[Callable[..., Any]], Any]:
    """Makes a C function of one that gets what was registered, in place of the number.

    What it raises is logged, and it then returns `default`: whatever it is, since C would get a
    result that nobody has set.
    """
    def decorate(function: Callable[..., Any]) -> Any:
        def call(number: Optional[int], *arguments: Any) -> Any:
            called = None if number is None else _called.get(number)
            if called is None:
                return default
            try:
                return function(called, *arguments)
            except BaseException:
                _native.log.exception("%s: %r", what, called)
                return default

        return kind(call)

    return decorate


class Closable:
    """What a function of the C interface made and another ends: at the latest when Python exits.

    Subclasses call `_begin` once and use `_handle`.
    """

    _finalizer: Optional[Any] = None

    def _begin(
        self, result: int, handle: Any, end: Callable[[Any], Any], number: int = 0
    ) -> None:
        """`result` is that of the call that made it."""
        if result < 0:
            _called.pop(number, None)
        check(result)
        self._kept = handle
        self._finalizer = weakref.finalize(self, _end, end, handle, number)

    @property
    def _handle(self) -> Any:
        if self.closed:
            raise ValueError(f"this {type(self).__name__} is closed")
        return self._kept

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self._finalizer is None or not self._finalizer.alive

    def close(self) -> None:
        """Ends it; waits for functions of it that run on other threads."""
        if self._finalizer is not None:
            self._finalizer()

    def __enter__(self) -> Any:
        self._handle
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _end(end: Callable[[Any], Any], handle: Any, number: int) -> None:
    end(handle)
    _called.pop(number, None)
