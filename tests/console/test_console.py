"""What a person sees and does in the console, in a real browser."""

from typing import Any

import pytest
from playwright.async_api import Page, expect

from tools.plan import Plan

pytestmark = pytest.mark.stack

KEY = "the-key-of-the-test"
PLAN = "plan-0001-1"

Fake = Any
"""The fixture's class lives in conftest.py, which cannot be imported."""


async def sign_in(page: Page, fake: Fake) -> None:
    await page.goto(fake.url + "/console/")
    await page.get_by_label("Key").fill(KEY)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("button", name="Sign out")).to_be_visible()


async def see_plan(page: Page, fake: Fake) -> Plan:
    """Be signed in and look at a plan that waits for a decision."""
    fake.open_thread()
    fake.tell("message.user", {"text": "Train a digit classifier.", "actor": "ada (key-1)", "message_id": "m1"})
    plan: Plan = fake.propose()
    fake.tell("turn.done", {"turn": 1, "message_id": "m1"})
    await sign_in(page, fake)
    return plan


def run_first_steps(fake: Fake) -> None:
    """Have the lease granted and the training under way."""
    fake.step("started", "lease")
    fake.step("done", "lease", result={"lease_id": "lease-1", "slots": 2})
    fake.step("started", "train")
    fake.log = "epoch 1\n"
    fake.step("progress", "train", job_id="job-1", percent=40.0, stage="fitting")


class TestSignIn:
    async def test_refuses_a_wrong_key_in_words_and_keeps_no_key(self, page: Page, fake: Fake) -> None:
        await page.goto(fake.url + "/console/")
        await page.get_by_label("Key").fill("wrong")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("alert")).to_contain_text("The key is not known. Use a key that is not revoked.")
        await sign_in(page, fake)
        kept = await page.evaluate("[JSON.stringify(localStorage), JSON.stringify(sessionStorage), document.cookie, location.href].join()")
        assert KEY not in kept and "lineshaft_session" not in kept

    async def test_a_session_that_ends_leads_back_to_the_form(self, page: Page, fake: Fake) -> None:
        await sign_in(page, fake)
        fake.revoked = True
        await expect(page.get_by_label("Key")).to_be_visible(timeout=15_000)


class TestChat:
    async def test_the_first_message_opens_a_thread_and_is_shown_once(self, page: Page, fake: Fake) -> None:
        await sign_in(page, fake)
        await page.get_by_label("Message", exact=True).fill("What hardware is here?")
        await page.keyboard.press("Enter")
        await expect(page.locator(".message.user:not(.sending)")).to_contain_text("What hardware is here?")
        assert [each["text"] for each in fake.messages] == ["What hardware is here?"]
        await expect(page.locator(".message.user")).to_have_count(1)

    async def test_a_message_that_failed_is_sent_again_under_its_id(self, page: Page, fake: Fake) -> None:
        fake.open_thread()
        await sign_in(page, fake)
        fake.messages_fail = True
        await page.get_by_label("Message", exact=True).fill("Hello")
        await page.get_by_role("button", name="Send", exact=True).click()
        await expect(page.locator(".sending .problem")).to_contain_text("Temporal does not answer. See 'lineshaft status'; try again.")
        fake.messages_fail, kept = False, fake.messages.pop()
        await page.get_by_role("button", name="Send again").click()
        await expect(page.locator(".message.user:not(.sending)")).to_contain_text("Hello")
        assert [each["message_id"] for each in fake.messages] == [kept["message_id"]]

    async def test_data_is_never_markup(self, page: Page, fake: Fake) -> None:
        fake.open_thread(title="<img src=x onerror=alert(1)>")
        fake.tell("message.assistant", {"text": "<b>bold</b><script>alert(1)</script>", "citations": []})
        await sign_in(page, fake)
        await expect(page.locator(".message.assistant")).to_contain_text("<b>bold</b><script>alert(1)</script>")
        await expect(page.locator("#log b, #log img, #thread-list img")).to_have_count(0)

    async def test_an_option_of_a_question_is_its_answer_once(self, page: Page, fake: Fake) -> None:
        fake.open_thread()
        fake.tell("question", {"text": "For which team?", "options": ["vision", "speech"]})
        await sign_in(page, fake)
        await page.get_by_role("button", name="vision").click()
        await expect(page.locator(".message.user:not(.sending)")).to_contain_text("vision")
        await expect(page.get_by_role("button", name="speech")).to_be_disabled()
        assert [each["text"] for each in fake.messages] == ["vision"]

    async def test_a_refusal_has_code_reason_and_remedy(self, page: Page, fake: Fake) -> None:
        fake.open_thread()
        fake.tell("refusal", {"code": "team_unknown", "reason": "There is no team 'x'.", "remedy": "Name vision."})
        await sign_in(page, fake)
        for words in ("There is no team 'x'.", "Name vision.", "team_unknown"):
            await expect(page.locator(".refusal")).to_contain_text(words)

    async def test_agents_at_work_fold_into_one_line(self, page: Page, fake: Fake) -> None:
        fake.open_thread()
        fake.tell("message.user", {"text": "Hi", "actor": "ada", "message_id": "m1"})
        fake.tell("agent.started", {"agent": "dispatcher", "model": None, "planner": "playbook"})
        await sign_in(page, fake)
        await expect(page.locator(".activity summary")).to_have_text("dispatcher reads the request (planner playbook, model none)…")
        fake.tell("turn.done", {"turn": 1, "message_id": "m1"})
        await expect(page.locator(".activity summary")).to_have_text("How it was worked out (1)")


class TestStream:
    async def test_a_broken_stream_resumes_without_loss_or_repeat(self, page: Page, fake: Fake) -> None:
        fake.open_thread()
        fake.tell("message.assistant", {"text": "answer 0"})
        await sign_in(page, fake)
        await expect(page.locator("#connection")).to_have_text("live")
        fake.cut_after = fake.events[0]["id"] + 6
        for number in range(1, 6):
            fake.tell("message.assistant", {"text": f"answer {number}"})
        await expect(page.locator("#connection")).to_have_text("reconnecting…")
        await expect(page.locator("#connection")).to_have_text("live")
        await expect(page.locator(".message.assistant")).to_have_text([f"answer {number}" for number in range(6)])
        assert len(fake.resumed_from) == 2 and fake.resumed_from == sorted(set(fake.resumed_from))

    async def test_frames_are_cut_anywhere(self, page: Page, fake: Fake) -> None:
        await sign_in(page, fake)
        frames = await page.evaluate(
            """async () => {
              const { FrameParser } = await import("/console/js/stream.js");
              const text = "retry: 5\\n\\n: quiet\\n\\nid: 7\\r\\nevent: x\\r\\ndata: {\\"a\\":\\ndata: 1}\\n\\nid: 8\\ndata:2\\n\\n";
              const parser = new FrameParser();
              return [...text].flatMap((letter) => parser.push(letter));
            }"""
        )
        assert frames == [{"id": "7", "data": '{"a":\n1}'}, {"id": "8", "data": "2"}]


class TestPlanCard:
    async def test_shows_all_that_an_approval_is_given_for(self, page: Page, fake: Fake) -> None:
        plan = await see_plan(page, fake)
        card = page.get_by_role("article", name=plan.title)
        for words in (
            "Plan for team vision",
            "No GPU is here: a slot is a CPU core.",
            "lease_id of step lease",
            "0 of 2 slots of team vision in use; 2 more",
            "0.0008",
            "release the lease",
            "the lease is active with as many slots, and reserved in the ledger",
            "playbook (no model)",
            plan.digest()[:12],
        ):
            await expect(card).to_contain_text(words)
        in_temporal = card.get_by_role("link", name=PLAN)
        await expect(in_temporal).to_have_attribute("href", f"http://127.0.0.1:8233/namespaces/default/workflows/{PLAN}")

    async def test_approves_exactly_what_is_shown_and_follows_it_to_the_end(self, page: Page, fake: Fake) -> None:
        plan = await see_plan(page, fake)
        card = page.get_by_role("article", name=plan.title)
        await card.get_by_role("button", name="Approve").click()
        await expect(card.get_by_role("button", name="Cancel")).to_be_visible()
        assert fake.decisions == [("approve", {"digest": plan.digest()})]
        run_first_steps(fake)
        await expect(card.get_by_role("progressbar")).to_have_attribute("value", "40")
        await expect(card.locator("[open] > .joblog")).to_have_text("epoch 1\n")
        fake.log, fake.log_complete = fake.log + "epoch 2\n", True
        await expect(card.locator("[open] > .joblog")).to_have_text("epoch 1\nepoch 2\n")
        fake.step("done", "train", result={"run_id": "run-1", "accuracy": 0.98})
        fake.end("done", done=["lease", "train", "gate", "deploy"])
        await expect(card.locator(".badge")).to_have_text("done")
        await expect(card.locator(".plan-end")).to_contain_text("0.000512 USD")
        await expect(card.locator('.step[data-state="done"]')).to_have_count(4)
        await expect(card.locator(".citations a")).to_have_text([f"plan {PLAN}"])
        await expect(card.locator(".actions button")).to_have_count(0)

    async def test_refuses_with_a_reason_by_keyboard(self, page: Page, fake: Fake) -> None:
        await see_plan(page, fake)
        await page.get_by_role("button", name="Refuse").press("Enter")
        await page.keyboard.type("too dear")
        await page.keyboard.press("Enter")
        await expect(page.locator(".plan .badge")).to_have_text("refused")
        assert fake.decisions == [("refuse", {"reason": "too dear"})]
        await expect(page.locator(".plan")).to_contain_text("Refused by ada (key-1)")

    async def test_an_answered_approval_never_looks_open_after_a_reload(self, page: Page, fake: Fake) -> None:
        await see_plan(page, fake)
        await expect(page.get_by_role("button", name="Approve")).to_be_visible()
        fake.record.update(state="running", decided_by="bob (key-2)")
        await page.reload()
        await expect(page.get_by_role("button", name="Cancel")).to_be_visible()
        await expect(page.locator(".plan .badge")).to_have_text("running")
        await expect(page.locator(".plan")).to_contain_text("Decided by bob (key-2).")
        await expect(page.get_by_role("button", name="Approve")).to_have_count(0)

    async def test_a_decision_that_comes_too_late_says_so_and_shows_the_true_state(self, page: Page, fake: Fake) -> None:
        await see_plan(page, fake)
        await expect(page.get_by_role("button", name="Approve")).to_be_visible()
        fake.record.update(state="expired")
        await page.get_by_role("button", name="Approve").click()
        await expect(page.locator(".plan [role=alert]")).to_contain_text("is expired already. Read its present state and decide again.")
        await expect(page.locator(".plan .badge")).to_have_text("expired")
        await expect(page.get_by_role("button", name="Approve")).to_have_count(0)

    @pytest.mark.parametrize(("role", "buttons"), [("viewer", []), ("user", ["Withdraw"]), ("approver", ["Approve", "Refuse"])])
    async def test_offers_what_the_role_may_do(self, page: Page, fake: Fake, role: str, buttons: list[str]) -> None:
        fake.role, fake.tenant = role, "vision"
        await see_plan(page, fake)
        await expect(page.locator("#panel")).to_contain_text("2 of 2 left")
        await expect(page.locator(".actions button")).to_have_text(buttons)

    async def test_a_gate_that_is_not_passed_and_an_undo_are_told(self, page: Page, fake: Fake) -> None:
        await see_plan(page, fake)
        fake.step("started", "gate")
        fake.step("done", "gate", result={"passed": False, "value": 0.93, "threshold": 0.95})
        fake.step("undone", "lease", told="lease lease-1 released")
        fake.end("gated", done=["gate"], skipped=["deploy"], undone=["lease"], code="gated", reason="0.93 does not beat 0.95.")
        await expect(page.locator(".plan .badge")).to_have_text("gated: not good enough to go on")
        states = await page.locator(".step").evaluate_all("rows => rows.map(row => row.dataset.state)")
        assert states == ["undone", "waiting", "gated", "skipped"]
        await expect(page.locator(".plan-end")).to_contain_text("0.93 does not beat 0.95.")


class TestNarrow:
    async def test_nothing_is_cut_off_at_390_pixels(self, page: Page, fake: Fake) -> None:
        await page.set_viewport_size({"width": 390, "height": 844})
        await see_plan(page, fake)
        fake.tell("message.assistant", {"text": "word" * 200})
        await expect(page.locator(".message.assistant")).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth && log.scrollWidth <= log.clientWidth")
        await page.get_by_role("button", name="Threads").click()
        await expect(page.get_by_role("button", name="New thread")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("button", name="New thread")).to_be_hidden()
