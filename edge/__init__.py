"""What flies: loop, codec, queue, packets, engines and installer; Python 3.10, numpy, ONNX Runtime and C."""
