"""The plain model as ONNX behind FastAPI, tuned by hand: no typed body, no thread, a reply as bytes."""

import os
from pathlib import Path

import numpy as np
import onnxruntime
import orjson
from fastapi import FastAPI, Request, Response

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(
    Path(os.environ["PLAIN_PREPARED"], "model.onnx"), options, providers=["CPUExecutionProvider"]
)
app = FastAPI()


@app.post("/invocations")
async def invoke(request: Request) -> Response:
    content = orjson.loads(await request.body())
    records = content if isinstance(content, list) else [content]
    rows = np.array([list(record.values()) for record in records], dtype=np.float32)  # trees of skl2onnx take float32
    labels, probabilities = session.run(None, {"rows": rows})
    replies = [
        {"label": label, "probabilities": row}
        for label, row in zip(labels.tolist(), probabilities.tolist(), strict=True)
    ]
    body = orjson.dumps(replies if isinstance(content, list) else replies[0])
    return Response(body, media_type="application/json")
