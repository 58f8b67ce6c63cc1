"""The Functions host's part, for `tests/test_worker.py`: `python -m tests.worker_host` loads function_app.py with the
library that the real Python worker calls (azure-functions-runtime, Python 3.13 and later), invokes its timer function
once, and prints what came back as JSON. Events go to standard error.

The library takes its messages as a namespace of classes, so neither gRPC nor protobuf is needed. It keeps what it
indexed in module globals: one process, one application.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

APPLICATION = Path(__file__).resolve().parents[1]
INVOCATION = "00000000-0000-4000-8000-000000000001"


class Message:
    """A protobuf message as far as the library looks: fields, and which one holds the data."""

    def __init__(self, *positional: Any, **fields: Any) -> None:
        self.__dict__.update(fields)

    def WhichOneof(self, _: str) -> str | None:
        return next((field for field in self.__dict__ if field != "name"), None)


class StatusResult(Message):
    Failure, Success = 0, 1


class BindingInfo(Message):
    undefined, out, inout = 0, 1, 2


NAMES = (
    *("RpcException", "WorkerInitResponse", "WorkerMetadata", "FunctionMetadataResponse", "FunctionLoadResponse"),
    *("RpcFunctionMetadata", "RpcRetryOptions", "InvocationResponse", "TypedData", "RpcHttp", "ParameterBinding"),
)
PROTOS = SimpleNamespace(
    StatusResult=StatusResult, BindingInfo=BindingInfo, **{name: type(name, (Message,), {}) for name in NAMES}
)


def request(**properties: Any) -> Message:
    return Message(request=Message(**properties), properties={"host": "127.0.0.1", "protos": PROTOS})


async def serve() -> dict[str, Any]:
    from azure_functions_runtime import handle_event
    from azure_functions_runtime.utils.threadpool import start_threadpool_executor

    start_threadpool_executor()
    start = Message(capabilities={}, function_app_directory=str(APPLICATION))
    started = await handle_event.worker_init_request(request(worker_init_request=start))
    if started.result.status != StatusResult.Success:
        return {"indexed": False, "message": started.result.exception.message}
    found = await handle_event.functions_metadata_request(request())
    functions = {one.name: one for one in found.function_metadata_results or ()}
    bindings = {name: [json.loads(text) for text in one.raw_bindings] for name, one in functions.items()}
    timer = functions["rotate_due"].function_id
    late = Message(json=json.dumps({"IsPastDue": False, "Schedule": {}, "ScheduleStatus": None}))
    invocation = Message(
        invocation_id=INVOCATION,
        function_id=timer,
        input_data=[Message(name="timer", data=late)],
        trigger_metadata={},
        trace_context=Message(trace_parent="", trace_state="", attributes={}),
        retry_context=Message(retry_count=0, max_retry_count=0, exception=None),
    )
    answer = await handle_event.invocation_request(request(invocation_request=invocation))
    failure = getattr(answer.result, "exception", None)
    return {
        "indexed": True,
        "bindings": bindings,
        "succeeded": answer.result.status == StatusResult.Success,
        "message": failure.message if failure else "",
        "trace": failure.stack_trace if failure else "",
    }


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    sys.path.insert(0, str(APPLICATION))
    print(json.dumps(asyncio.run(serve())))
