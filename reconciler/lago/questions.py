"""Questions to Lago: GET, asked again after a passing failure, and what an answer that is none means."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote

from reconciler.lago.answers import Away, Barred, Refused, Unknown, parsed, read_answer, said, strange
from reconciler.lago.ending import Ending
from reconciler.lago.pace import Pace
from reconciler.lago.sentences import Sentences
from reconciler.lago.shown import LONGEST_NAME
from reconciler.lago.transport import Reply, Transport
from reconciler.model.errors import EndedError
from reconciler.settings.limits import Limits

Thing = dict[str, Any]
Parameters = Mapping[str, str | int | Sequence[str]]
_NO_PARAMETERS: Parameters = {}

PAGE = 1000
"""Things that one answer lists."""

_TRIES = 4
_REFUSALS = 5
"""How often a question may be refused for its rate, for each of its tries."""

_MORE_PAGES = 100
"""By so many pages a listing may grow while it is read."""


class Question(NamedTuple):
    """What Lago is asked.

    Attributes:
        path: below `/api/v1/`, percent-encoded.
        parameters: of the query.
        none: the codes of Lago's 404 that say that there is none.
        about: the kind and name of a thing that others named, of any length and any characters. A gateway may choke
            on one strange name, or take it for a way up the path. That is said of this name alone.
    """

    path: str
    parameters: Parameters = _NO_PARAMETERS
    none: Collection[str] = ()
    about: tuple[str, str] | None = None


class Page(NamedTuple):
    """What is on a page of a listing, whether it is the last one, and how many there are, as Lago says."""

    things: list[Thing]
    is_last: bool
    total: int = 1


@dataclass(frozen=True)
class Questions:
    """Asks one Lago.

    All questions raise `LagoAwayError` (no answer, or it fails), `NotPermittedError` (the key may not read that),
    `CantBeAskedError` (of this name alone), another `LagoError` (it refuses us, or this is not Lago's answer), and
    `EndedError` once all is to end.
    """

    say: Sentences
    transport: Transport
    limits: Limits
    ceiling: Pace
    pace: Pace
    ending: Ending

    def get(self, path: str, parameters: Parameters | None = None, *, careful: bool = False) -> Reply:
        """Ask, again after a rate limit or a passing failure; return an answer of any status.

        With `careful`, one short try must do: Lago was away.
        """
        tries, seconds = (1, self.limits.careful) if careful else (_TRIES, self.limits.request)
        failures = refusals = 0
        while True:
            self.ceiling.wait()
            self.pace.wait()
            if self.ending.has_come:
                raise EndedError
            reply = self.transport.request(path, seconds, query=parameters)
            if isinstance(reply, Reply) and reply.status == 429 and refusals < _REFUSALS * tries:
                refusals += 1
                self.pace.refused(reply.headers)
                continue
            failures += not isinstance(reply, Reply) or reply.status >= 500
            if isinstance(reply, Reply) and (reply.status < 500 or failures == tries):
                self.pace.learn(reply.headers)
                return reply
            if isinstance(reply, Away) or (isinstance(reply, Unknown) and failures == tries):
                raise self.say.away(reply.said)
            self.ending.sleep(self.limits.pause * 2 ** (failures - 1))

    def expect(self, reply: Reply) -> Thing:
        """The JSON object of an answer that is a 200 of Lago's."""
        content = parsed(reply.content)
        if reply.status == 200 and content:
            return content
        answer = read_answer(reply.status, reply.headers, reply.content, ())
        if isinstance(answer, Barred):
            raise self.say.refuses(answer.said, answer.resource)
        if isinstance(answer, Refused):
            raise self.say.refuses(f"it answers {answer.said}")
        if reply.status == 429 or reply.status >= 500:
            raise self.say.away(f"it answers {reply.status}")
        raise self.say.unusable(strange(reply.status, reply.headers))

    def ask(self, question: Question) -> Thing | None:
        """Ask for a JSON object; return None if there is none."""
        about = question.about
        if about and any(len(str(each).encode()) > LONGEST_NAME for each in (about[1], *question.parameters.values())):
            return None
        reply = self.get(question.path, question.parameters)
        status, content = reply.status, parsed(reply.content)
        lagos = content.get("status") == status
        if status == 404 and lagos and content.get("code") in question.none:
            return None
        of_all = status == 429 or status >= 500 or (lagos and status in {401, 403})
        if about and not of_all and not (status == 200 and content):
            what = f"{status} {said(content)}" if lagos else strange(status, reply.headers)
            raise self.say.cant_be_asked(*about, what)
        return self.expect(reply)

    def one(self, kind: str, name: str) -> Thing | None:
        """The thing of a kind that has its name in the path, None if there is none."""
        answer = self.ask(Question(f"{kind}s/{encoded(name)}", none={f"{kind}_not_found"}))
        return None if answer is None else self.thing(kind, answer)

    def thing(self, kind: str, answer: Thing) -> Thing:
        """The object of a kind that an answer shows."""
        thing = answer.get(kind)
        if not isinstance(thing, dict):
            raise self.say.unusable(f"its answer shows no {kind}")
        return thing

    def pages(self, kind: str, question: Question, *, size: int = PAGE) -> Iterator[Page]:
        """The pages of a listing, each asked for when it is wanted; one without an end is a `LagoError`."""
        number, most, is_last = 0, 0, False
        while not is_last:
            number += 1
            parameters = {**question.parameters, "page": number, "per_page": size}
            answer = self.ask(question._replace(parameters=parameters))
            if answer is None:
                return
            things, meta = answer.get(kind), answer.get("meta")
            if not isinstance(things, list) or not isinstance(meta, dict):
                raise self.say.unusable(f"its answer lists no {kind}")
            total, following = meta.get("total_pages"), meta.get("next_page")
            total = total if isinstance(total, int) else 0
            is_last = following is None
            if not is_last and not (following == number + 1 <= total and things):
                what = f"page {number} of its {kind} is followed by a page that there can't be"
                raise self.say.unusable(what)
            most = most or total + _MORE_PAGES
            if number > most:
                raise self.say.unusable(f"it lists more than {most} pages, and at first said fewer")
            yield Page([thing for thing in things if isinstance(thing, dict)], is_last, total)


def encoded(name: str) -> str:
    """A name as one part of a path; its dots, too, which a gateway would take for a way up the path."""
    return quote(name, safe="").replace(".", "%2E")
