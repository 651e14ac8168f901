"""A trained model for programs other than this one: ONNX graphs, vectors in Parquet, a model folder that travels."""
