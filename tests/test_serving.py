"""The HTTP service: its answers are those of the classifier, and no request makes it fail or is lost."""

import asyncio
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict
from itertools import cycle, islice

import hypothesis
import numpy as np
import pytest
from toy_corpus import HIERARCHY, QUICK, make_corpus

import skhimatch
from skhimatch import HiMatchClassifier
from skhimatch.cli import main
from skhimatch.predicted_labels import WantedLabels
from skhimatch.serving import Limits, create_app
from skhimatch.serving.queues import TEXTS_TOGETHER, ExplanationQueue, PredictionQueue, QueueFullError
from skhimatch.serving.server import listening_socket

for package in ("fastapi", "uvicorn"):
    pytest.importorskip(package, reason=f"{package} comes with the extra 'serve'")
OF_TESTS = "it comes with the extra 'test-serving'"
schemathesis = pytest.importorskip("schemathesis", reason=OF_TESTS)
pytest.importorskip("httpx2", reason=OF_TESTS)
TestClient = pytest.importorskip("fastapi.testclient").TestClient

TEXTS, _ = make_corpus(40, seed=1)
# Only against tests that never end.
AT_MOST = 300
LIMITS = Limits(body_bytes=5_000, texts=4, characters=100, waiting_texts=8, waiting_explanations=1)
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def classifier():
    return HiMatchClassifier(HIERARCHY, **QUICK).fit(*make_corpus(60))


@pytest.fixture(scope="module")
def model(classifier, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "news"
    classifier.save(folder)
    return folder


def until(condition):
    """Ask again and again until something is so."""
    end = time.monotonic() + AT_MOST
    while not condition():
        assert time.monotonic() < end


class Service:
    """A process that serves, and the address that it printed."""

    def __init__(self, process):
        self.process = process
        self.line = process.stdout.readline()
        assert self.line, process.stderr.read()
        self.host, _, port = self.line.rpartition("http://")[2].strip().rpartition(":")
        self.port = int(port)

    def connect(self):
        return http.client.HTTPConnection(self.host, self.port, timeout=AT_MOST)

    def ask(self, path, body=None, method=None, headers=JSON, connection=None):
        """Return the status and the JSON of an answer."""
        if connection is None:
            with closing(self.connect()) as connection:
                return self.ask(path, body, method, headers, connection)
        content = json.dumps(body) if isinstance(body, dict) else body
        connection.request(method or ("GET" if body is None else "POST"), path, content, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    def predict(self, texts, connection=None, **wanted):
        status, answer = self.ask("/predict", {"texts": texts, **wanted}, connection=connection)
        assert status == 200, answer
        return [entry["probabilities"] for entry in answer["predictions"]]

    def refuses_connections(self):
        try:
            socket.create_connection((self.host, self.port)).close()
        except OSError:
            return True
        return False

    def stop(self, number=signal.SIGTERM):
        """Send a signal. Return the exit status and what was printed."""
        self.process.send_signal(number)
        printed, errors = self.process.communicate(timeout=AT_MOST)
        return self.process.returncode, printed, errors


@contextmanager
def serving(model, *options):
    command = [sys.executable, "-W", "error", "-m", "skhimatch", "serve", str(model), "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield Service(process)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def service(model):
    with serving(model) as found:
        yield found


def labels_of(classifier, texts, wanted=None):
    return list((wanted or WantedLabels()).of(classifier, classifier.predict_proba(texts)))


def assert_same(answers, expected):
    """Labels are equal, and probabilities up to the rounding of sums in batches of other sizes."""
    assert [list(answer) for answer in answers] == [list(labels) for labels in expected]
    for answer, labels in zip(answers, expected, strict=True):
        assert answer == pytest.approx(labels, abs=3e-6)


class TestAnswers:
    def test_the_line_says_what_is_served_and_where(self, service):
        assert service.line.startswith("news (")
        assert f"{len(HIERARCHY) + 8} labels, at http://127.0.0.1:" in service.line
        status, health = service.ask("/health")
        assert status == 200
        version = service.line.partition("(")[2].partition(")")[0]
        assert len(version) == 12
        assert health == {
            "ready": True,
            "name": "news",
            "version": version,
            "labels": 10,
            "skhimatch": skhimatch.__version__,
        }

    def test_labels_are_those_of_the_classifier(self, service, classifier):
        status, answer = service.ask("/predict", {"texts": TEXTS})
        assert status == 200
        expected = classifier.to_label_sets(classifier.predict(TEXTS))
        assert [set(entry["labels"]) for entry in answer["predictions"]] == expected
        probabilities = classifier.predict_proba(TEXTS)
        column = {label: number for number, label in enumerate(classifier.classes_)}
        for row, entry in zip(probabilities, answer["predictions"], strict=True):
            assert entry["labels"] == list(entry["probabilities"])
            for label, probability in entry["probabilities"].items():
                assert probability == pytest.approx(float(row[column[label]]), abs=3e-6)

    @pytest.mark.parametrize(
        "option", [{}, {"top_k": 3}, {"threshold": 0.2}, {"threshold": 0}, {"top_k": None}]
    )
    def test_answers_are_the_lines_of_the_command(self, service, model, tmp_path, capsys, option):
        source = tmp_path / "new.jsonl"
        source.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
        given = [
            part
            for name, value in option.items()
            if value is not None
            for part in (f"--{name.replace('_', '-')}", str(value))
        ]
        assert main(["predict", "--model", str(model), "--input", str(source), *given]) == 0
        lines = list(map(json.loads, capsys.readouterr().out.splitlines()))
        assert_same(service.predict(TEXTS, **option), [line["probabilities"] for line in lines])

    def test_a_threshold_is_for_one_request(self, service, classifier):
        assert service.predict(TEXTS, threshold=1) == [{}] * len(TEXTS)
        assert_same(service.predict(TEXTS), labels_of(classifier, TEXTS))

    def test_explanations(self, service, classifier):
        for text in (TEXTS[0], ""):
            status, answer = service.ask("/explain", {"text": text})
            assert status == 200
            expected = json.loads(json.dumps(asdict(classifier.explain(text))))
            assert_close(answer, expected)

    def test_odd_texts_are_texts(self, service, classifier):
        odd = ["", " ", "\n\t", "Ünïcödé 北京 😀", "a" * 1_000, "\u202e\ufeff\x07"]
        assert_same(service.predict(odd), labels_of(classifier, odd))

    def test_sixteen_clients(self, service, classifier):
        kinds = {}
        for name, value in (("top_k", 10), ("top_k", None), ("threshold", 0.6)):
            found = labels_of(classifier, TEXTS, WantedLabels(**{name: value}))
            kinds[name, value] = dict(zip(TEXTS, found, strict=True))
        # Two texts could be taken for each other if they had the same probabilities.
        assert len({tuple(labels.values()) for labels in kinds["top_k", 10].values()}) == len(TEXTS)
        start = threading.Barrier(16)

        def client(number):
            draws = np.random.default_rng(number)
            with closing(service.connect()) as connection:
                start.wait(AT_MOST)
                for (name, value), expected in islice(cycle(kinds.items()), number, number + 9):
                    texts = draws.choice(TEXTS, size=draws.integers(1, 33)).tolist()
                    answers = service.predict(texts, connection, **{name: value})
                    assert_same(answers, [expected[text] for text in texts])

        with ThreadPoolExecutor(16) as clients:
            assert list(clients.map(client, range(16), timeout=AT_MOST)) == [None] * 16

    def test_errors_of_paths_and_methods(self, service):
        for path, method, status in (("/predictions", "GET", 404), ("/predict", "GET", 405)):
            found, answer = service.ask(path, method=method)
            assert found == status
            assert answer["detail"][0]["place"] == f"{method} {path}"


def assert_close(found, expected):
    """Compare JSON; numbers are equal up to rounding."""
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for name in expected:
            assert_close(found[name], expected[name])
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_close(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=1e-4)
    else:
        assert found == expected


class TestStop:
    def begun(self, service, body):
        """Send the head of a request. The server answers when the application reads the body."""
        connection = socket.create_connection((service.host, service.port), timeout=AT_MOST)
        head = (
            f"POST /predict HTTP/1.1\r\nHost: {service.host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
        )
        connection.sendall(head.encode())
        assert connection.recv(1_000).startswith(b"HTTP/1.1 100 ")
        return connection

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_what_was_accepted_is_answered(self, model, classifier, number):
        with serving(model) as service:
            requests = [TEXTS[start:] for start in range(0, 32)]
            bodies = [json.dumps({"texts": texts}).encode() for texts in requests]
            connections = [self.begun(service, body) for body in bodies]
            # A connection without a request does not hold the server up.
            idle = socket.create_connection((service.host, service.port))
            for connection, body in islice(zip(connections, bodies, strict=True), 16):
                connection.sendall(body)
            service.process.send_signal(number)
            until(service.refuses_connections)
            # The signal was handled. These bodies come after it.
            for connection, body in islice(zip(connections, bodies, strict=True), 16, None):
                connection.sendall(body)
            for connection, texts in zip(connections, requests, strict=True):
                answer = http.client.HTTPResponse(connection)
                answer.begin()
                assert answer.status == 200
                found = json.loads(answer.read())["predictions"]
                assert_same([entry["probabilities"] for entry in found], labels_of(classifier, texts))
                connection.close()
            idle.close()
            printed, errors = service.process.communicate(timeout=AT_MOST)
            assert (service.process.returncode, printed, errors) == (0, "stopped\n", "")

    def test_a_request_that_never_ends_does_not_stop_the_stop(self, model):
        with serving(model, "--stop-seconds", "1") as service:
            connection = self.begun(service, b" " * 100)
            status, printed, errors = service.stop()
            assert (status, printed) == (0, "stopped\n")
            assert "Cancel 1 running task" in errors
            connection.close()

    def test_a_client_that_goes_away_is_no_error(self, model, classifier):
        with serving(model) as service:
            for content in (b"", b'{"texts": ['):
                connection = self.begun(service, b" " * 100)
                connection.sendall(content)
                connection.close()
            connection = self.begun(service, body := json.dumps({"texts": TEXTS}).encode())
            connection.sendall(body)
            connection.close()
            assert_same(service.predict(TEXTS), labels_of(classifier, TEXTS))
            assert service.stop() == (0, "stopped\n", "")


class TestStart:
    @pytest.mark.parametrize("package", ["fastapi", "uvicorn"])
    def test_the_extra_is_named(self, model, monkeypatch, capsys, package):
        monkeypatch.setitem(sys.modules, package, None)
        assert main(["serve", str(model)]) == 2
        expected = f'the service needs {package}: python -m pip install "skhimatch[serve]"'
        assert capsys.readouterr().err == f"skhimatch: error: {expected}\n"

    def test_only_the_service_needs_the_extra(self):
        code = (
            "import sys; sys.modules.update(dict.fromkeys(('fastapi', 'uvicorn', 'pydantic', 'starlette'))); "
            "import skhimatch.cli, skhimatch.serving.application, skhimatch.serving.server; "
            "print(skhimatch.serving.create_app, skhimatch.serving.Limits)"
        )
        subprocess.run([sys.executable, "-c", code], check=True)

    def test_addresses_that_cannot_be_used(self, model, capsys):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            assert main(["serve", str(model), "--port", port]) == 2
        printed = capsys.readouterr().err
        assert f"cannot listen at --host 127.0.0.1 --port {port}: Address already in use" in printed
        # An address for documents, which no machine has.
        assert main(["serve", str(model), "--host", "203.0.113.1", "--port", "0"]) == 2
        assert "--host 203.0.113.1 --port 0: Cannot assign requested address" in capsys.readouterr().err
        for port in ("70000", "-1"):
            assert main(["serve", str(model), "--port", port]) == 2
            assert f"--port {port} is no port: pass a number from 0 to 65535" in capsys.readouterr().err

    def test_small_packets_do_not_wait(self):
        """Without TCP_NODELAY each answer takes 40 ms more: its body waits until its head is acknowledged."""

        async def option_of_a_connection():
            found = asyncio.get_running_loop().create_future()

            def connected(_, writer):
                of_server = writer.get_extra_info("socket")
                found.set_result(of_server.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                writer.close()

            accepting = listening_socket("127.0.0.1", 0)
            async with await asyncio.start_server(connected, sock=accepting):
                _, writer = await asyncio.open_connection(*accepting.getsockname())
                option = await found
                writer.close()
                await writer.wait_closed()
            return option

        assert asyncio.run(option_of_a_connection())

    def test_no_model_and_wrong_limits(self, model, tmp_path, capsys):
        assert main(["serve", str(tmp_path / "nothing")]) == 2
        assert "classifier.json is missing" in capsys.readouterr().err
        assert main(["serve", str(model), "--max-texts", "0"]) == 2
        assert "the limit texts is 0; pass 1 or more" in capsys.readouterr().err
        assert main(["serve", str(model), "--max-texts", "9", "--max-waiting", "8"]) == 2
        error = "--max-waiting is 8, so a request of 9 texts would never be accepted: .* lower --max-texts"
        assert re.search(error, capsys.readouterr().err)
        with pytest.raises(ValueError, match="the limit waiting_texts is 8, so a request of 9 texts would"):
            Limits(texts=9, waiting_texts=8)
        with pytest.raises(TypeError, match=r"the limit characters is 1\.5; pass an integer"):
            Limits(characters=1.5)

    def test_a_label_without_a_form_in_utf8_is_named(self):
        settings = QUICK | {"max_epochs": 1}
        odd = HiMatchClassifier(**settings).fit(["a b", "c d"] * 10, [{"x\ud800"}, {"z"}] * 10)
        with pytest.raises(ValueError, match=r"the label 'x\\ud800' has a lone surrogate.*another name"):
            create_app(odd)

    def test_a_classifier_without_a_fit_is_refused(self):
        with pytest.raises(ValueError, match="not fitted"):
            create_app(HiMatchClassifier())

    def test_a_forked_process_serves_what_was_loaded_before(self, model):
        code = f"""
import os, torch
torch.set_num_threads(1)
from fastapi.testclient import TestClient
from skhimatch import HiMatchClassifier
from skhimatch.serving import create_app
app = create_app(HiMatchClassifier.load({str(model)!r}))
children = []
for _ in range(2):
    if (child := os.fork()) == 0:
        answer = TestClient(app).post("/predict", json={{"texts": ["a lens"]}})
        os._exit(answer.status_code != 200)
    children.append(child)
assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
"""
        subprocess.run([sys.executable, "-c", code], check=True, timeout=AT_MOST)


@pytest.fixture
def client(classifier):
    # An error of the application is raised here.
    return TestClient(create_app(classifier, LIMITS))


def post(client, content, path="/predict", **headers):
    return client.post(path, content=content, headers=JSON | headers)


NASTY = [
    (400, "body", b""),
    (400, "body", b"{"),
    (400, "body", b"\x00"),
    (400, "body", b"\xff\xfe{\x00}\x00"),
    (400, "body", b'\xef\xbb\xbf{"texts": ["a"]}'),
    (400, "body", b'{"texts": ["\xc3\x28"]}'),
    (400, "body", b'{"texts": ["a\x00b"]}'),
    (400, "body", b'{"texts": ["a\nb"]}'),
    (400, "body", b'{"texts": ["\\ud800"]}'),
    (400, "body", b'{"texts": ["\\udc00 a"]}'),
    (400, "body", b'{"texts": ["a"], "\\ud83d": 1}'),
    (400, "body", b'{"texts": ["\\x41"]}'),
    (400, "body", b"{'texts': ['a']}"),
    (400, "body", b'{"texts": ["a"],}'),
    (400, "body", b'{"texts": ["a"]} {}'),
    (400, "body", b'{"texts": ["a"]'),
    (400, "body", b"[" * 4_000),
    (400, "body", b'{"texts": ' * 400),
    (400, "body", b'{"texts": ["a"], "threshold": nan}'),
    (400, "body", b'{"texts": ["a"], "threshold": 1e}'),
    (400, "body", b"texts=a"),
    (422, "body", b"null"),
    (422, "body", b"[]"),
    (422, "body", b'"texts"'),
    (422, "body", b"NaN"),
    (422, "body", b"1" * 4_000),
    (422, "texts", b"{}"),
    (422, "texts", b'{"texts": null}'),
    (422, "texts", b'{"texts": "a"}'),
    (422, "texts", b'{"texts": {"0": "a"}}'),
    (422, "texts", b'{"texts": []}'),
    (422, "texts", b'{"texts": ["a", "a", "a", "a", "a"]}'),
    (422, "texts[1]", b'{"texts": ["a", 1]}'),
    (422, "texts[1]", b'{"texts": ["a", null]}'),
    (422, "texts[0]", b'{"texts": [["a"]]}'),
    (422, "texts[0]", b'{"texts": [true]}'),
    (422, "texts[2]", b'{"texts": ["a", "b", "c\\u0000"]}'),
    (422, "texts[1]", b'{"texts": ["a", "' + b"x" * 101 + b'"]}'),
    (422, "texts[1]", b'{"texts": ["a", "' + "😀".encode() * 101 + b'"]}'),
    (422, "top_k", b'{"texts": ["a"], "top_k": 0}'),
    (422, "top_k", b'{"texts": ["a"], "top_k": -1}'),
    (422, "top_k", b'{"texts": ["a"], "top_k": 11}'),
    (422, "top_k", b'{"texts": ["a"], "top_k": 1' + b"0" * 400 + b"}"),
    (422, "top_k", b'{"texts": ["a"], "top_k": 1.5}'),
    (422, "top_k", b'{"texts": ["a"], "top_k": "3"}'),
    (422, "top_k", b'{"texts": ["a"], "top_k": true}'),
    (422, "top_k", b'{"texts": ["a"], "top_k": [1]}'),
    (422, "threshold", b'{"texts": ["a"], "threshold": 1.0001}'),
    (422, "threshold", b'{"texts": ["a"], "threshold": -0.1}'),
    (422, "threshold", b'{"texts": ["a"], "threshold": NaN}'),
    (422, "threshold", b'{"texts": ["a"], "threshold": Infinity}'),
    (422, "threshold", b'{"texts": ["a"], "threshold": -Infinity}'),
    (422, "threshold", b'{"texts": ["a"], "threshold": 1e400}'),
    (422, "threshold", b'{"texts": ["a"], "threshold": "0.5"}'),
    (422, "threshold", b'{"texts": ["a"], "threshold": true}'),
    (422, "body", b'{"texts": ["a"], "threshold": 0.5, "top_k": 3}'),
    (422, "treshold", b'{"texts": ["a"], "treshold": 0.5}'),
    (422, "x" * 100, b'{"texts": ["a"], "' + b"x" * 1_000 + b'": 0.5}'),
    (422, "__class__", b'{"texts": ["a"], "__class__": {}}'),
]


class TestRefusals:
    @pytest.mark.parametrize(("status", "place", "content"), NASTY)
    def test_nasty_bodies(self, client, status, place, content):
        answer = post(client, content)
        assert answer.status_code == status
        problems = answer.json()["detail"]
        assert place in [problem["place"] for problem in problems]
        assert all(problem["message"] for problem in problems)
        # A body for predictions is none for an explanation.
        assert 400 <= post(client, content, "/explain").status_code < 500

    def test_bodies_that_only_look_odd(self, client, classifier):
        for content in (
            b'\n {"texts": ["a lens"]}\t',
            b'{"texts": ["wrong"], "texts": ["a lens"]}',
            b'{"texts": ["\\u0061 lens"], "top_k": null, "threshold": null}',
            b'{"\\u0074exts": ["a lens"]}',
            b'{"texts": ["a lens"], "threshold": null, "top_k": null}',
        ):
            found = post(client, content).json()["predictions"]
            assert_same([entry["probabilities"] for entry in found], labels_of(classifier, ["a lens"]))
        content = b'{"texts": ["a lens"], "top_k": 2.0}'
        assert len(post(client, content).json()["predictions"][0]["labels"]) == 2
        assert post(client, b'{"texts": ["\\ud83d\\ude00"], "threshold": 1e-400}').status_code == 200

    def test_of_very_many_problems_the_first_are_named(self, classifier):
        client = TestClient(create_app(classifier))
        problems = post(client, json.dumps({"texts": [1] * 900})).json()["detail"]
        assert [problem["place"] for problem in problems] == [f"texts[{number}]" for number in range(20)]

    @pytest.mark.parametrize(
        "kind",
        [
            *("text/plain", "application/x-www-form-urlencoded", "application/jsonx", "application", ""),
            *("application/json; charset=latin-1", "multipart/form-data; boundary=x", "ä", "application/*"),
            "application/json; charset*=x'y'z; charset*0=\"",
        ],
    )
    def test_other_content_types(self, client, kind):
        answer = post(client, b'{"texts": ["a"]}', **{"Content-Type": kind.encode()})
        assert answer.status_code == 415
        assert '"Content-Type: application/json"' in answer.json()["detail"][0]["message"]

    def test_no_content_type(self, client):
        assert client.post("/predict", content=b'{"texts": ["a"]}').status_code == 415

    @pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON;charset=UTF-8; x"])
    def test_content_types_of_json(self, client, kind):
        assert post(client, b'{"texts": ["a"]}', **{"Content-Type": kind}).status_code == 200

    def test_a_text_may_be_as_long_as_the_limit(self, client):
        texts = ["x" * 100, "😀" * 100, "a", "b"]
        assert client.post("/predict", json={"texts": texts, "top_k": 10}).status_code == 200
        answer = client.post("/explain", json={"text": "x" * 101})
        assert answer.status_code == 422
        assert answer.json()["detail"] == [
            {"place": "text", "message": "String should have at most 100 characters"}
        ]

    def test_schemathesis(self, classifier):
        """Requests made from the OpenAPI document, right and wrong ones, get answers that it declares."""
        schema = schemathesis.openapi.from_asgi("/openapi.json", create_app(classifier, LIMITS))
        asked = []

        for method, path in (("POST", "/predict"), ("POST", "/explain"), ("GET", "/health")):
            for mode in schemathesis.GenerationMode:
                operation = schema[path][method]

                @hypothesis.settings(
                    max_examples=100,
                    deadline=None,
                    derandomize=True,
                    database=None,
                    suppress_health_check=list(hypothesis.HealthCheck),
                )
                @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
                def check(case):
                    asked.append((case.path, case.call_and_validate().status_code))

                if mode.is_negative and path == "/health":
                    # It has nothing that could be wrong.
                    continue
                check()
        assert {("/predict", 200), ("/predict", 422), ("/explain", 200), ("/health", 200)} <= set(asked)
        assert len(asked) > 300


class TestLimits:
    def test_large_bodies_with_a_declared_size_and_in_chunks(self, model):
        with serving(model, "--max-body", "5000") as service:
            for size, status in ((5_000, 200), (5_001, 413), (5_000_000, 413)):
                body = b'{"texts": ["a lens"]' + b" " * (size - 21) + b"}"
                assert service.ask("/predict", body)[0] == status
                # http.client sends an iterator in chunks, without Content-Length.
                chunks = (body[start : start + 1_000] for start in range(0, size, 1_000))
                found, answer = service.ask("/predict", chunks)
                assert found == status
                if status == 413:
                    assert answer["detail"][0]["message"].startswith("it has more than 5,000 bytes")
            # A body that is too large is refused before it is sent, and before its end.
            for header, part in (
                (("Content-Length", "6000000000"), b""),
                (("Transfer-Encoding", "chunked"), b"1770\r\n" + b" " * 6_000 + b"\r\n"),
            ):
                with closing(service.connect()) as connection:
                    connection.putrequest("POST", "/predict")
                    connection.putheader("Content-Type", "application/json")
                    connection.putheader(*header)
                    connection.endheaders(part)
                    assert connection.getresponse().status == 413
            assert service.stop() == (0, "stopped\n", "")

    def test_a_full_queue(self, model):
        classifier = HiMatchClassifier.load(model)
        with held(classifier, "predict_proba") as (begun, go_on):
            app = create_app(classifier, LIMITS)
            with ThreadPoolExecutor() as clients, TestClient(app) as client:
                asked = [clients.submit(client.post, "/predict", json={"texts": TEXTS[:3]})]
                assert begun.wait(AT_MOST)
                assert client.get("/health").json()["ready"] is True
                # Eight texts may wait.
                asked += [clients.submit(client.post, "/predict", json={"texts": TEXTS[3:7]}) for _ in "12"]
                until(lambda: client.get("/health").status_code == 503)
                assert client.get("/health").json()["ready"] is False
                refused = client.post("/predict", json={"texts": TEXTS[:1]})
                go_on.set()
                answers = [future.result(AT_MOST) for future in asked]
            assert refused.status_code == 503
            assert refused.headers["Retry-After"] == "1"
            assert "too many requests wait" in refused.json()["detail"][0]["message"]
            for answer, texts in zip(answers, (TEXTS[:3], TEXTS[3:7], TEXTS[3:7]), strict=True):
                found = answer.json()["predictions"]
                assert_same([entry["probabilities"] for entry in found], labels_of(classifier, texts))

    def test_explanations_are_limited_and_do_not_hold_predictions_up(self, model):
        classifier = HiMatchClassifier.load(model)
        with held(classifier, "explain") as (begun, go_on):
            app = create_app(classifier, LIMITS)
            with ThreadPoolExecutor() as clients, TestClient(app) as client:
                asked = clients.submit(client.post, "/explain", json={"text": TEXTS[0]})
                assert begun.wait(AT_MOST)
                refused = client.post("/explain", json={"text": TEXTS[1]})
                predicted = client.post("/predict", json={"texts": TEXTS[:1]})
                go_on.set()
                assert asked.result(AT_MOST).status_code == 200
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
            assert predicted.status_code == 200


@contextmanager
def held(classifier, name):
    """Let the first call of a method wait. Yield an event that says it has begun, and one that ends it."""
    begun, go_on = threading.Event(), threading.Event()
    method = getattr(classifier, name)

    def wait_first(given):
        begun.set()
        assert go_on.wait(AT_MOST)
        return method(given)

    setattr(classifier, name, wait_first)
    try:
        yield begun, go_on
    finally:
        go_on.set()


class TestQueues:
    @pytest.fixture
    def loaded(self, model):
        return HiMatchClassifier.load(model)

    def test_requests_that_wait_are_predicted_together(self, loaded):
        sizes = []
        predict = loaded.predict_proba
        loaded.predict_proba = lambda texts: sizes.append(len(texts)) or predict(texts)
        with held(loaded, "predict_proba") as (begun, go_on):
            queue = PredictionQueue(loaded, 10_000)
            wanted = list(islice(cycle([WantedLabels(), WantedLabels(2), WantedLabels(None, 0.1)]), 41))
            many = list(islice(cycle(TEXTS), TEXTS_TOGETHER + 1))
            requests = [TEXTS[:1], *(TEXTS[: 1 + number % 7] for number in range(39)), many]
            answers = [queue.submit(*request) for request in zip(requests, wanted, strict=True)]
            assert begun.wait(AT_MOST)
            go_on.set()
            found = [answer.result(AT_MOST) for answer in answers]
        for labels, texts, choice in zip(found, requests, wanted, strict=True):
            assert_same(labels, labels_of(loaded, texts, choice))
        # The first alone, those that came meanwhile together, and the large one alone again.
        assert sizes[:3] == [1, sum(map(len, requests[1:-1])), TEXTS_TOGETHER + 1]

    def test_the_room_is_given_back(self, loaded):
        queue = PredictionQueue(loaded, 3)
        for _ in range(5):
            with pytest.raises(QueueFullError):
                queue.submit(TEXTS[:4], WantedLabels())
            assert len(queue.submit(TEXTS[:3], WantedLabels()).result(AT_MOST)) == 3
        explanations = ExplanationQueue(loaded, 1)
        for _ in range(3):
            explanation = explanations.submit(TEXTS[0])
            assert explanation.result(AT_MOST).text == TEXTS[0]

    def test_an_error_of_a_prediction_ends_only_its_requests(self, loaded):
        predict = loaded.predict_proba
        loaded.predict_proba = lambda texts: predict(texts) if "bad" not in texts else 1 / 0
        queue = PredictionQueue(loaded, 3)
        with pytest.raises(ZeroDivisionError):
            queue.submit(["bad"], WantedLabels()).result(AT_MOST)
        assert len(queue.submit(TEXTS[:3], WantedLabels()).result(AT_MOST)) == 3

    def test_a_cancelled_request_is_not_predicted(self, loaded):
        seen = []
        predict = loaded.predict_proba
        loaded.predict_proba = lambda texts: seen.extend(texts) or predict(texts)
        with held(loaded, "predict_proba") as (begun, go_on):
            queue = PredictionQueue(loaded, 3)
            first = queue.submit(["first"], WantedLabels())
            assert begun.wait(AT_MOST)
            second, third = (queue.submit([name], WantedLabels()) for name in ("second", "third"))
            assert second.cancel()
            go_on.set()
            assert len(first.result(AT_MOST)) == len(third.result(AT_MOST)) == 1
        assert seen == ["first", "third"]

    def test_two_ways_of_choosing_labels(self):
        with pytest.raises(ValueError, match="top_k and threshold both say"):
            WantedLabels(3, 0.5)
