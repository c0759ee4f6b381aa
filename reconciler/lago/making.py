"""Makes what Lago bills by: a metric, a plan, a customer, a subscription. Nothing that is there is changed."""

from dataclasses import dataclass
from json import dumps

from reconciler.lago.answers import Away, Barred, parsed, read_answer, said, strange
from reconciler.lago.pace import Pace
from reconciler.lago.questions import Thing
from reconciler.lago.sentences import Sentences
from reconciler.lago.transport import Reply, Transport
from reconciler.settings.limits import Limits

_REFUSALS = 20
"""How often one thing may be refused for the rate of requests."""


@dataclass(frozen=True)
class Making:
    """Makes things in one Lago."""

    say: Sentences
    transport: Transport
    limits: Limits
    ceiling: Pace
    pace: Pace

    def make(self, kind: str, thing: Thing) -> Thing:
        """Make a thing of a kind, such as a `plan`, and return it as Lago shows it.

        It is asked once: whoever asks again first looks whether the thing is there.

        Raises:
            NotMadeError: Lago refuses this one.
            LagoAwayError: there is no answer, or none of Lago's; the thing may have been made.
            LagoError: the key may not make such things, or this is no Lago.
        """
        reply = self._post(f"{kind}s", dumps({kind: thing}).encode())
        content = parsed(reply.content)
        made = content.get(kind)
        if reply.status == 200 and isinstance(made, dict):
            return made
        is_lagos = content.get("status") == reply.status
        of_this = reply.status in {400, 422} or (reply.status == 404 and content.get("code") != "resource_not_found")
        if is_lagos and (of_this or reply.status >= 500):
            raise self.say.not_made(kind, f"it answers {reply.status} {said(content)}".rstrip())
        answer = read_answer(reply.status, reply.headers, reply.content, ())
        if isinstance(answer, Barred):
            raise self.say.refuses(answer.said)
        if reply.status == 429 or reply.status >= 500:
            raise self.say.away(f"it answers {reply.status}")
        raise self.say.unusable(strange(reply.status, reply.headers))

    def _post(self, path: str, body: bytes) -> Reply:
        refusals = 0
        while True:
            self.ceiling.wait()
            self.pace.wait()
            reply = self.transport.request(path, self.limits.request, body=body)
            if isinstance(reply, Away):
                raise self.say.away(reply.said)
            if not isinstance(reply, Reply):
                raise self.say.away(f"{reply.said}, so that it may have made the {path[:-1]}")
            if reply.status != 429 or refusals == _REFUSALS:
                self.pace.learn(reply.headers)
                return reply
            refusals += 1
            self.pace.refused(reply.headers)
