"""Graphs as ONNX files."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

import numpy as np
import torch

from reverie.errors import ReverieError
from reverie.lab.graphs import Graph

INSTALL = "the lab needs onnx and onnxscript, which are not installed: pip install 'reverie[lab]'"
LARGE = 4096  # numbers of a weight from which on it is halved


def to_onnx(graph: Graph) -> bytes:
    """The graph with its weights, one ONNX file."""
    try:
        import onnxscript  # noqa: F401
    except ImportError:
        raise ReverieError(INSTALL) from None
    with _quiet(), torch.inference_mode():
        program = torch.onnx.export(
            graph.eval().float().cpu(),
            graph.example(),
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    return program.model_proto.SerializeToString()


def halved(model: bytes) -> bytes:
    """The same graph with its large weights kept in float16 and computed with in float32: half the file."""
    import onnx
    from onnx import numpy_helper

    proto = onnx.load_from_string(model)
    casts = []
    for weight in proto.graph.initializer:
        if weight.data_type == onnx.TensorProto.FLOAT and np.prod(weight.dims) >= LARGE:
            name = weight.name
            small = numpy_helper.from_array(numpy_helper.to_array(weight).astype(np.float16), f"{name}.half")
            casts.append(onnx.helper.make_node("Cast", [small.name], [name], to=onnx.TensorProto.FLOAT))
            weight.CopyFrom(small)
    for cast in reversed(casts):
        proto.graph.node.insert(0, cast)
    return bytes(proto.SerializeToString())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's messages."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
