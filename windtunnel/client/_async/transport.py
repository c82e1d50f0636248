"""Sends HTTP requests, retries them, and returns the answer or raises its exception."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO

import httpx

from windtunnel.client._answers import M, failure, parse, reason
from windtunnel.client._errors import ConnectionFailed
from windtunnel.client._files import written_aside
from windtunnel.client._pacing import Pacing
from windtunnel.client._requests import (
    HARMLESS,
    NOT_BEGUN,
    READING,
    STREAM_SILENCE,
    Repeatable,
    headers,
    json_bytes,
    may_use_proxy,
)


class AsyncTransport:
    """HTTP requests to one server.

    Args:
        base_url: address of the server, such as ``http://127.0.0.1:8000``.
        timeout: seconds to wait for a connection, and for each part of an answer.
        pacing: retries, delays and clocks.
        api_key: key sent with every request; None: no key.

    Raises:
        InvalidRequest: ``base_url`` is not an http or https address, or the key has characters that no key has.
    """

    def __init__(self, base_url: str, timeout: float, pacing: Pacing, api_key: str | None = None) -> None:
        self.base_url = base_url.rstrip("/")
        self.timeout = timeout
        self.pacing = pacing
        self._http = httpx.AsyncClient(timeout=timeout, headers=headers(api_key), trust_env=may_use_proxy(self.base_url))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def get(self, path: str, params: Mapping[str, str | int | Sequence[str]] | None = None) -> httpx.Response:
        """The answer to a GET request."""
        return await self._exchange(self._request("GET", path, params=params), HARMLESS)

    async def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """The answer to a POST request that may arrive twice (idempotent, or with an idempotency key)."""
        return await self._exchange(self._request("POST", path, body=body, headers=headers), HARMLESS)

    async def post_once(self, path: str, body: Any, timeout: float = 0.0) -> httpx.Response:
        """The answer to a POST request that must not arrive twice: it is retried only if it surely did not arrive.

        It waits ``timeout`` seconds for each part of the answer, or the client's own time where that is longer.
        """
        request = self._request("POST", path, body=body)
        request.extensions["timeout"]["read"] = max(self.timeout, timeout)
        return await self._exchange(request, NOT_BEGUN)

    async def upload(self, path: str, file: BinaryIO, name: str, fields: Mapping[str, str]) -> httpx.Response:
        """The answer to a file that is streamed as a form; the file may arrive twice."""
        address = self.base_url + path
        request = self._http.build_request("POST", address, data=dict(fields), files={"file": (name, file)})
        request.extensions["timeout"]["read"] = max(self.timeout, READING)
        return await self._exchange(request, HARMLESS)

    async def delete(self, path: str) -> httpx.Response:
        """The answer to a DELETE request; it is retried only if it surely did not arrive, as a second one finds nothing."""
        return await self._exchange(self._request("DELETE", path), NOT_BEGUN)

    async def post_text(
        self, path: str, text: str, media: str, params: Sequence[tuple[str, str]], *, timeout: float
    ) -> httpx.Response:
        """The answer to a text of this media type, sent once; waits ``timeout`` seconds for each part of the answer."""
        request = self._http.build_request(
            "POST", self.base_url + path, params=list(params), content=text.encode(), headers={"Content-Type": media}
        )
        request.extensions["timeout"]["read"] = max(self.timeout, timeout)
        return await self._exchange(request, NOT_BEGUN)

    @asynccontextmanager
    async def stream(self, path: str, headers: Mapping[str, str]) -> AsyncIterator[AsyncIterator[bytes]]:
        """Context that yields the bytes of an answer as they arrive.

        Raises:
            ConnectionFailed: the connection broke or fell silent, on entering or while reading.
        """
        request = self._request("GET", path, headers=headers)
        request.extensions["timeout"]["read"] = max(self.timeout, STREAM_SILENCE)
        response = await self._exchange(request, HARMLESS, stream=True)
        try:
            yield response.aiter_bytes()
        except httpx.RequestError as error:
            raise ConnectionFailed(self.base_url, reason(error, request)) from error
        finally:
            await response.aclose()

    async def download(self, path: str, media: str, target: Path) -> None:
        """Write an answer to a file as it arrives; after a broken connection it starts again from the first byte.

        Raises:
            InvalidRequest: the file cannot be written.
            ConnectionFailed: the connection broke each time.
        """
        attempt = 0
        while True:
            try:
                with written_aside(target) as file:
                    async with self.stream(path, {"Accept": media}) as pieces:
                        async for piece in pieces:
                            file.write(piece)
            except ConnectionFailed:
                if attempt >= self.pacing.retries:
                    raise
            else:
                return
            await self.pacing.sleep_async(self.pacing.delay(attempt))
            attempt += 1

    async def patch(self, path: str, body: Any) -> httpx.Response:
        """The answer to a PATCH request; a second one does no harm, so it is retried like one that only reads."""
        return await self._exchange(self._request("PATCH", path, body=body), HARMLESS)

    async def read(self, model: type[M], path: str, params: Mapping[str, str | int | Sequence[str]] | None = None) -> M:
        """The answer to a GET request as a typed model.

        Raises:
            UnexpectedAnswer: the answer does not fit the model.
        """
        return parse(model, await self.get(path, params))

    def _request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int | Sequence[str]] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Request:
        sent = dict(headers or {})
        content = None
        if method in ("POST", "PATCH"):
            content = json_bytes(body)
            sent["Content-Type"] = "application/json"
        return self._http.build_request(method, self.base_url + path, params=params, content=content, headers=sent)

    async def _exchange(self, request: httpx.Request, repeatable: Repeatable, *, stream: bool = False) -> httpx.Response:
        attempt = 0
        while True:
            last = attempt >= self.pacing.retries
            try:
                response = await self._http.send(request, stream=stream)
                if response.is_success:
                    return response
                await response.aread()
            except httpx.RequestError as error:
                if last or not isinstance(error, repeatable.errors):
                    raise ConnectionFailed(self.base_url, reason(error, request)) from error
                delay = self.pacing.delay(attempt)
            else:
                await response.aclose()
                refusal = failure(response, self.pacing)
                delay = self.pacing.delay(attempt) if refusal.retry_after is None else refusal.retry_after
                if last or refusal.status not in repeatable.statuses or delay > self.pacing.longest_retry_after:
                    raise refusal
            await self.pacing.sleep_async(delay)
            attempt += 1
