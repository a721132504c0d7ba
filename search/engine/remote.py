"""Chief and workers: keras-tuner's remote calls, with a token on each of them.

The chief's process owns the oracle. keras-tuner lets whoever reaches its port call it,
takes what a call says for a path, and waits for ever when a call fails. Here a call
counts only if it brings the token of the search and the name of its worker; what it
says is checked before the oracle or the disk is touched (`ParetoOracle` knows its
trials), and what cannot be answered is refused with a reason.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import re
import time
from collections.abc import Mapping
from concurrent import futures
from typing import Any, NoReturn

import grpc
from keras_tuner.errors import FatalError
from keras_tuner.src import protos
from keras_tuner.src.distribute.oracle_chief import OracleServicer

from search.launch import TOKEN

IP, PORT, NAME = "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT", "KERASTUNER_TUNER_ID"
TOKEN_HEADER, NAME_HEADER = "aebnas-token-bin", "aebnas-worker-bin"
INTERVAL = 0.2  # seconds between two looks at whether the search is over
LONGEST = 1000  # characters of a reason
GONE = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
)


def token(environment: Mapping[str, str] = os.environ) -> bytes:
    """The secret that the chief and all workers share.

    Raises:
        ValueError: There is none.
    """
    value = environment.get(TOKEN, "").strip()
    if not value:
        raise ValueError(
            f"{TOKEN} is not set; expected the same secret text for the chief and for "
            "every worker, such as `openssl rand -hex 16` prints."
        )
    return value.encode("utf-8", "surrogateescape")


def address(environment: Mapping[str, str] = os.environ) -> str:
    """The chief's address and port, as gRPC writes them.

    Raises:
        ValueError: It is no address, or no port.
    """
    host, port = environment.get(IP, ""), environment.get(PORT, "")
    try:
        if ipaddress.ip_address(host).version == 6:
            host = f"[{host}]"
    except ValueError:
        # An empty one would be every address of this machine.
        if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", host):
            raise ValueError(
                f"{IP} is {host!r}; expected an address such as 10.0.0.1, or a name."
            ) from None
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 2**16:
        raise ValueError(f"{PORT} is {port!r}; expected 1 to 65535.")
    return f"{host}:{int(port)}"


# The chief


def serve(oracle: Any) -> None:
    """Answer workers until the oracle has no more trials and all workers know it.

    Listens at the address of keras-tuner's environment variables and at no other.

    Raises:
        ValueError: The address or the token is missing or malformed.
        OSError: It cannot listen there, or a file could not be written.
    """
    where, servicer, gate = address(), _Servicer(oracle), _Gate(token())
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=1),  # one call at a time
        interceptors=[gate],
        options=[("grpc.so_reuseport", 0)],  # two chiefs would share the workers
    )
    protos.get_service_grpc().add_OracleServicer_to_server(servicer, server)
    try:
        server.add_insecure_port(where)
    except RuntimeError as error:
        raise OSError(
            f"The chief cannot listen at {where}: either this is not an address of "
            "this machine, or another process uses the port."
        ) from error
    server.start()
    try:
        while gate.error is None and not servicer.is_over():
            time.sleep(INTERVAL)
    finally:
        server.stop(grace=5).wait()
    if gate.error is not None:
        raise gate.error


class _Servicer(OracleServicer):
    """keras-tuner's answers, to a worker that speaks for itself and for its trial."""

    def CreateTrial(self, request: Any, context: grpc.ServicerContext) -> Any:
        name = _name(context)
        if request.tuner_id != name:
            raise ValueError(f"{name} asks for a trial of {request.tuner_id!r}.")
        return super().CreateTrial(request, context)

    def UpdateTrial(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._check_holder(request.trial_id, _name(context))
        return super().UpdateTrial(request, context)

    def EndTrial(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._check_holder(request.trial.trial_id, _name(context))
        return super().EndTrial(request, context)

    def GetBestTrials(self, request: Any, context: grpc.ServicerContext) -> Any:
        if request.num_trials < 0:
            raise ValueError(f"num_trials is {request.num_trials}; expected 0 or more.")
        return super().GetBestTrials(request, context)

    def is_over(self) -> bool:
        """Whether the last worker has been told that there is no more to do."""
        busy = self.oracle.ongoing_trials or self.oracle.tuner_ids
        return self.stop_triggered and not busy

    def _check_holder(self, trial_id: str, name: str) -> None:
        for holder, trial in self.oracle.ongoing_trials.items():
            if trial.trial_id == trial_id and holder != name:
                raise ValueError(f"The trial {trial_id} is {holder}'s, not {name}'s.")


class _Gate(grpc.ServerInterceptor):
    """Lets calls through that bring the token, and tells why others are refused.

    Attributes:
        error: What keeps the chief from going on, such as a full disk, or None.
    """

    def __init__(self, secret: bytes) -> None:
        self.secret = secret
        self.error: OSError | None = None

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        headers = dict(details.invocation_metadata)
        brought = headers.get(TOKEN_HEADER, b"")
        if not hmac.compare_digest(brought, self.secret) or NAME_HEADER not in headers:
            return grpc.stream_unary_rpc_method_handler(_turn_down)
        handler = continuation(details)
        if handler is None:  # no such method
            return None

        def answer(data: bytes, context: grpc.ServicerContext) -> Any:
            try:
                return handler.unary_unary(handler.request_deserializer(data), context)
            except OSError as error:
                self.error, status = error, grpc.StatusCode.INTERNAL
                why = str(error)
            except ValueError as error:
                status, why = grpc.StatusCode.INVALID_ARGUMENT, str(error)
            except Exception as error:  # from the depths of keras-tuner
                status = grpc.StatusCode.INVALID_ARGUMENT
                why = f"{type(error).__name__}: {error}"
            context.abort(status, why[:LONGEST])

        return grpc.unary_unary_rpc_method_handler(
            answer, None, handler.response_serializer
        )


def _turn_down(requests: Any, context: grpc.ServicerContext) -> NoReturn:
    """Answer a call without the token, and do not wait for what it wants to say."""
    context.abort(grpc.StatusCode.UNAUTHENTICATED, f"the call lacks the {TOKEN}.")


def _name(context: grpc.ServicerContext) -> str:
    """The name of the worker that calls."""
    name = dict(context.invocation_metadata())[NAME_HEADER].decode("utf-8", "replace")
    if not re.fullmatch(r"[\w.-]{1,100}", name):
        raise ValueError(f"A worker is called {name!r}; expected letters and digits.")
    return name


# The workers


def bring_token(client: Any) -> None:
    """Let keras-tuner's client of a worker bring token and name with every call.

    Args:
        client: An `OracleClient`. Its calls raise `FatalError`, with a sentence, where
            they would raise `grpc.RpcError`.

    Raises:
        ValueError: The address or the token is missing or malformed.
    """
    channel = grpc.insecure_channel(address())
    badge = _Badge(token(), client.tuner_id)
    channel = grpc.intercept_channel(channel, badge)
    client.stub = protos.get_service_grpc().OracleStub(channel)


class _Badge(grpc.UnaryUnaryClientInterceptor):
    """Adds token and name to a call."""

    def __init__(self, secret: bytes, name: str) -> None:
        self.headers = [(TOKEN_HEADER, secret), (NAME_HEADER, name.encode("utf-8"))]

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any):
        headers = [*(details.metadata or ()), *self.headers]
        call = continuation(details._replace(metadata=headers), request)
        if isinstance(call, grpc.RpcError):
            raise FatalError(_sentence(call)) from None
        return call


def _sentence(error: Any) -> str:
    """What a failed call means for the worker."""
    where, code, details = address(), error.code(), error.details()
    if code == grpc.StatusCode.UNAUTHENTICATED:
        return f"The chief at {where} has another {TOKEN}."
    if code == grpc.StatusCode.INTERNAL:
        return f"The chief at {where} has ended: {details}"
    if code in GONE:
        return f"The chief at {where} is gone. Start it again, and then this worker."
    return f"The chief at {where} refuses: {details}"
