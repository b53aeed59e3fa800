# SPDX-License-Identifier: MIT
"""Memory of the library as memoryviews, and what to do when the last of them has gone.

A view is a memoryview of a ctypes array at the address, and the array has a *keeper*. Slices,
numpy arrays and other users of the buffer protocol keep the array, and with it the keeper: when
the last of them goes, the keeper calls its function, on whatever thread that happens.
"""

import ctypes
import weakref
from typing import Any, Callable, Optional, Tuple, Type, TypeVar

H = TypeVar("H", bound="Handle")


_untrack = ctypes.pythonapi.PyObject_GC_UnTrack
_untrack.argtypes, _untrack.restype = [ctypes.py_object], None


class Handle(int):
    """A number that ends something of the C interface, in __del__, when nothing refers to it.

    The collector of cycles calls the finalizers of a cycle in any order, so that one could use
    what another has ended. A handle refers to nothing and is not tracked: it ends after all of
    them, when the parts of the cycle let go of it. A call keeps its arguments, so a thread may
    close what another one uses.
    """

    __slots__ = ()

    def __new__(cls: Type[H], value: int) -> H:
        handle = super().__new__(cls, value)
        _untrack(handle)
        return handle


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
