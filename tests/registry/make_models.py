"""Makes the small model files under data/: `python -m tests.registry.make_models`. Run by hand; the files lie there.

torch_mlp.onnx is what `torch.onnx.export` writes for Linear-ReLU-Linear, node for node and name for name, but made with
onnx.helper: PyTorch is not among this project's packages. Its weights are those of `torch_weights`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

DATA = Path(__file__).parent / "data"
FEATURES, HIDDEN, CLASSES = 4, 8, 3


def torch_weights() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    shapes = {
        "net.0.weight": (HIDDEN, FEATURES),
        "net.0.bias": (HIDDEN,),
        "net.2.weight": (CLASSES, HIDDEN),
        "net.2.bias": (CLASSES,),
    }
    return {name: rng.normal(0, 0.8, shape).astype(np.float32) for name, shape in shapes.items()}


def torch_like(*, producer: str = "pytorch", domain: str = "", external: bool = False, rows: object = "batch") -> bytes:
    """The export as bytes; the options make it one that must be refused."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Gemm", ["input", "net.0.weight", "net.0.bias"], ["/net/net.0/Gemm_output_0"],
                         "/net/net.0/Gemm", alpha=1.0, beta=1.0, transB=1),
        helper.make_node("Relu", ["/net/net.0/Gemm_output_0"], ["/net/net.1/Relu_output_0"], "/net/net.1/Relu",
                         domain=domain),
        helper.make_node("Gemm", ["/net/net.1/Relu_output_0", "net.2.weight", "net.2.bias"], ["output"],
                         "/net/net.2/Gemm", alpha=1.0, beta=1.0, transB=1),
    ]  # fmt: skip
    held = [numpy_helper.from_array(value, name) for name, value in torch_weights().items()]
    if external:
        held[0].ClearField("raw_data")
        held[0].data_location = TensorProto.EXTERNAL
        entry = held[0].external_data.add()
        entry.key, entry.value = "location", "../../etc/passwd"
    graph = helper.make_graph(
        nodes,
        "main_graph",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [rows, FEATURES])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [rows, CLASSES])],
        held,
    )
    opsets = [helper.make_opsetid("", 17)]
    if domain:
        opsets.append(helper.make_opsetid(domain, 1))
    model = helper.make_model(graph, producer_name=producer, producer_version="2.4.0", opset_imports=opsets)
    model.ir_version = 8
    return bytes(onnx.ModelProto.SerializeToString(model))


def torch_answers(rows: np.ndarray) -> np.ndarray:
    """What the network gives, by numpy: (n, CLASSES) logits."""
    w = torch_weights()
    hidden = np.maximum(rows.astype(np.float32) @ w["net.0.weight"].T + w["net.0.bias"], 0)
    return hidden @ w["net.2.weight"].T + w["net.2.bias"]


CHANNELS, SIDE = 3, 6


def picture_weights() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(11)
    shapes = {
        "conv.weight": (CHANNELS, 1, 3, 3),
        "conv.bias": (CHANNELS,),
        "fc.weight": (1, CHANNELS * (SIDE // 2) ** 2),
        "fc.bias": (1,),
    }
    return {name: rng.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}


def picture_like(rows: object = "batch", side: object = SIDE) -> bytes:
    """Conv-ReLU-MaxPool-Flatten-Linear with one score at the end, as `torch.onnx.export` writes it with dynamic_axes
    on the rows; made with onnx.helper, as above."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Conv", ["input", "conv.weight", "conv.bias"], ["/conv/Conv_output_0"], "/conv/Conv",
                         dilations=[1, 1], group=1, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[1, 1]),
        helper.make_node("Relu", ["/conv/Conv_output_0"], ["/relu/Relu_output_0"], "/relu/Relu"),
        helper.make_node("MaxPool", ["/relu/Relu_output_0"], ["/pool/MaxPool_output_0"], "/pool/MaxPool",
                         ceil_mode=0, kernel_shape=[2, 2], pads=[0, 0, 0, 0], strides=[2, 2]),
        helper.make_node("Flatten", ["/pool/MaxPool_output_0"], ["/Flatten_output_0"], "/Flatten", axis=1),
        helper.make_node("Gemm", ["/Flatten_output_0", "fc.weight", "fc.bias"], ["output"], "/fc/Gemm",
                         alpha=1.0, beta=1.0, transB=1),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "main_graph",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [rows, 1, side, side])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [rows, 1])],
        [numpy_helper.from_array(value, name) for name, value in picture_weights().items()],
    )
    model = helper.make_model(
        graph, producer_name="pytorch", producer_version="2.4.0", opset_imports=[helper.make_opsetid("", 17)]
    )
    model.ir_version = 8
    return bytes(onnx.ModelProto.SerializeToString(model))


def picture_scores(rows: np.ndarray) -> np.ndarray:
    """What that network gives, by numpy: (n,) scores of rows that hold a picture line by line."""
    w = picture_weights()
    padded = np.pad(rows.astype(np.float32).reshape(-1, SIDE, SIDE), ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    found = np.einsum("nyxij,cij->ncyx", windows, w["conv.weight"][:, 0]) + w["conv.bias"][:, None, None]
    half = SIDE // 2
    pooled = np.maximum(found, 0).reshape(-1, CHANNELS, half, 2, half, 2).max(axis=(3, 5))
    return (pooled.reshape(len(rows), -1) @ w["fc.weight"].T + w["fc.bias"])[:, 0]


def table(rows: int = 400, columns: int = 5, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, columns))
    return x, x[:, 0] * 2 - x[:, 1] + rng.normal(0, 0.3, rows)


NAMES = ["age", "income", "visits", "basket", "distance"]


def main() -> None:
    import xgboost
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.linear_model import LogisticRegression
    from skops import io

    DATA.mkdir(exist_ok=True)
    (DATA / "torch_mlp.onnx").write_bytes(torch_like())
    x, y = table()
    matrix = xgboost.DMatrix(x, (y > 0).astype(int), feature_names=NAMES)
    booster = xgboost.train({"objective": "binary:logistic", "max_depth": 2, "seed": 0, "nthread": 1}, matrix, 8)
    booster.save_model(DATA / "binary.json")
    other = xgboost.train({"objective": "binary:logistic", "max_depth": 1, "seed": 1, "nthread": 1}, matrix, 3)
    other.save_model(DATA / "binary_weak.json")
    xgboost.train({"max_depth": 2, "nthread": 1}, xgboost.DMatrix(x, y), 4).save_model(DATA / "regression.json")
    io.dump(LogisticRegression().fit(x, np.where(y > 0, "buys", "leaves")), DATA / "linear.skops")
    io.dump(RandomForestRegressor(3, max_depth=2, random_state=0).fit(x, y), DATA / "forest.skops")


if __name__ == "__main__":
    main()
