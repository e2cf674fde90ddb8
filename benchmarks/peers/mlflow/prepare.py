"""Save the plain model as MLflow keeps models, with its signature."""

import os
import shutil
from pathlib import Path

import joblib
import mlflow.sklearn
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema

model = joblib.load(os.environ["PLAIN_MODEL_NAMED"])
inputs = Schema([ColSpec("double", str(name)) for name in model.feature_names_in_])
folder = Path(os.environ["PLAIN_PREPARED"], "model")
shutil.rmtree(folder, ignore_errors=True)
mlflow.sklearn.save_model(
    model,
    folder,
    signature=ModelSignature(inputs=inputs),
    pyfunc_predict_fn="predict_proba",
    serialization_format="cloudpickle",
    pip_requirements=["scikit-learn"],  # what is installed is what serves: --env-manager local
)
