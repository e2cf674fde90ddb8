"""Turn the plain model into ONNX."""

import os
from pathlib import Path

import joblib
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType

model = joblib.load(os.environ["PLAIN_MODEL"])
onnx = to_onnx(model, initial_types=[("rows", FloatTensorType([None, 4]))], options={"zipmap": False})
Path(os.environ["PLAIN_PREPARED"], "model.onnx").write_bytes(onnx.SerializeToString())
