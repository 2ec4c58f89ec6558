"""Every name of TensorRT's Python interface that edge/codec/engines uses: what the stand-in has, and what the gate looks for in
NVIDIA's own bindings where they are installed (`tests/export/test_tensorrt_gate.py`).
"""

from __future__ import annotations

SURFACE: dict[str, tuple[str, ...]] = {
    "ILogger": ("ERROR", "INTERNAL_ERROR", "log"),
    "Builder": ("create_network", "create_builder_config", "create_optimization_profile", "build_serialized_network"),
    "INetworkDefinition": ("num_inputs", "get_input"),
    "OnnxParser": ("parse", "num_errors", "get_error"),
    "IBuilderConfig": (
        "set_memory_pool_limit",
        "profiling_verbosity",
        "clear_flag",
        "set_flag",
        "default_device_type",
        "DLA_core",
        "create_timing_cache",
        "set_timing_cache",
        "get_timing_cache",
        "add_optimization_profile",
    ),
    "ITimingCache": ("serialize",),
    "IOptimizationProfile": ("set_shape",),
    "Runtime": ("deserialize_cuda_engine",),
    "ICudaEngine": (
        "create_execution_context",
        "create_engine_inspector",
        "num_io_tensors",
        "get_tensor_name",
        "get_tensor_mode",
        "get_tensor_dtype",
        "get_tensor_profile_shape",
    ),
    "IExecutionContext": ("set_input_shape", "get_tensor_shape", "set_tensor_address", "execute_async_v3"),
    "EngineInspector": ("execution_context", "get_engine_information"),
    "NetworkDefinitionCreationFlag": ("STRONGLY_TYPED",),
    "MemoryPoolType": ("WORKSPACE",),
    "ProfilingVerbosity": ("DETAILED",),
    "BuilderFlag": ("TF32", "GPU_FALLBACK"),
    "DeviceType": ("DLA",),
    "TensorIOMode": ("INPUT",),
    "LayerInformationFormat": ("JSON",),
}
FUNCTIONS = ("nptype",)
