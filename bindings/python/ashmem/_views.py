# SPDX-License-Identifier: MIT
"""Memory of the library as memoryviews, and what to do when the last of them has gone.

A view is a memoryview of a ctypes array at the address, and the array has a *keeper*. Slices,
numpy arrays and other users of the buffer protocol keep the array, and with it the keeper: when
the last of them goes, the keeper calls its function, on whatever thread that happens.
"""

import ctypes
import weakref
from typing import Any, Callable, Optional, Tuple


class Keeper:
    """Calls a function once: in `end`, or when nothing uses the memory any more."""

    __slots__ = ("function", "arguments", "__weakref__")

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.function: Optional[Callable[..., Any]] = function
        self.arguments: Tuple[Any, ...] = arguments

    def end(self) -> None:
        function, self.function = self.function, None
        if function is not None:
            function(*self.arguments)

    def __del__(self) -> None:
        self.end()


def view_of(address: int, length: int, keeper: object, writable: bool) -> memoryview:
    """A memoryview of bytes that keeps `keeper`."""
    array = (ctypes.c_ubyte * length).from_address(address)
    setattr(array, "keeper", keeper)
    view = memoryview(array).cast("B")
    return view if writable else view.toreadonly()


def take_back(view: memoryview) -> bool:
    """Ends a view; returns whether nothing else uses its memory."""
    array = weakref.ref(view.obj)
    try:
        view.release()
    except BufferError:
        return False
    return array() is None
