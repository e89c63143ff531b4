//! What a UAC and a UAS do (RFC 4412 sections 4.2 to 4.7).

use towel_core::contract::{
    DialogEnded, DialogTimer, Env, Reply, Slots, Task, Tasks, UacRequest, UacResponse, UasRequest,
    UasResponse, Verdict,
};
use towel_message::{Message, Method, Name};

use super::lines::{Course, Lines};
use super::namespaces::{Algorithm, Value, is_malformed, of, of_text};
use super::{ID, Settings, TAG, settings};
use crate::emergency::preemption_reason::Cause;

/// The timer of who waits.
const WAIT: u32 = 1;

/// What is kept with a request of ours.
#[derive(Debug, Clone, Default)]
struct Asked {
    /// What it says in the place of what is set, after a 417.
    instead: Option<Value>,
    rank: usize,
}

/// What is kept with a dialog: that it has a line.
struct Mark;

fn lines(agent: &mut Slots) -> Option<&mut Lines> {
    if agent.get::<Lines>(ID).is_none() {
        agent.set(ID, Lines::default());
    }
    agent.get_mut(ID)
}

/// The values that a request of ours says.
fn said(settings: &Settings, at: &UacRequest<'_>) -> Option<Vec<u8>> {
    let given: Vec<&[u8]> = at.given.all("Resource-Priority").collect();
    if !given.is_empty() {
        return Some(given.join(&b','));
    }
    let instead = at.slots.get::<Asked>(ID).and_then(|asked| asked.instead);
    match instead {
        Some(value) => Some(value.to_string().into_bytes()),
        None if settings.own.is_empty() => None,
        None => Some(settings.own.clone().into_bytes()),
    }
}

/// Section 4.7.1.
pub(super) fn request(env: &Env<'_>, at: &mut UacRequest<'_>) -> Verdict {
    let settings = settings(env);
    if matches!(at.method, b"REGISTER" | b"CANCEL") {
        return Verdict::Pass;
    }
    let Some(list) = said(settings, at) else { return Verdict::Pass };
    if at.given.get("Resource-Priority").is_none() {
        at.fields.push("Resource-Priority", &list);
    }
    // Neither may be refused for what it requires (RFC 3261 section 8.2.2.3).
    if settings.require && at.method != b"ACK" {
        at.fields.push("Require", TAG);
    }
    if at.method == b"INVITE" {
        let rank = settings.order.highest(of_text(&list)).map_or(0, |(rank, _)| rank);
        let instead = at.slots.get::<Asked>(ID).and_then(|asked| asked.instead);
        at.slots.set(ID, Asked { instead, rank });
    }
    Verdict::Pass
}

/// Section 4.7.1: another value after a 417, and a call of ours takes a line.
pub(super) fn answered(env: &Env<'_>, at: &mut UacResponse<'_>) -> Verdict {
    let settings = settings(env);
    let status = at.response.status();
    if status == 182 {
        at.notes.push("the call waits in a queue".to_owned());
    }
    if status == 417 && !settings.own.is_empty() {
        return again(settings, at);
    }
    if at.method == b"INVITE"
        && (101..300).contains(&status)
        && settings.lines > 0
        && let Some(dialog) = &mut at.dialog
    {
        let rank = at.slots.get::<Asked>(ID).map_or(0, |asked| asked.rank);
        dialog.slots.set(ID, Mark);
        let id = dialog.id();
        if let Some(lines) = lines(at.agent) {
            lines.ours(id, rank, status >= 200);
        }
    }
    Verdict::Pass
}

fn again(settings: &Settings, at: &mut UacResponse<'_>) -> Verdict {
    if at.slots.get::<Asked>(ID).is_some_and(|asked| asked.instead.is_some()) {
        return Verdict::Pass;
    }
    let accepted = at.response.values(Name::AcceptResourcePriority);
    let accepted: Vec<Value> = accepted.filter_map(|one| Value::parse(one.bytes)).collect();
    let ours: Vec<Value> = of_text(settings.own.as_bytes()).collect();
    let ours = settings.authorized.iter().chain(&ours).copied();
    let both = ours.filter(|value| accepted.contains(value));
    if let Some((rank, value)) = settings.order.highest(both) {
        at.slots.set(ID, Asked { instead: Some(value), rank });
        at.tasks.push(ID, Task::Retry);
    }
    Verdict::Pass
}

/// The caller as it is allowed things: the address in From.
fn caller(request: &Message<'_>) -> Vec<u8> {
    request.from().map(|from| from.uri.to_vec()).unwrap_or_default()
}

/// Sections 4.3, 4.6.2 and 4.6.4.
pub(super) fn judge(
    settings: &Settings,
    request: &Message<'_>,
    user: Option<&[u8]>,
) -> Option<Reply> {
    if is_malformed(request) {
        return Some(Reply::new(400, "Bad Resource-Priority"));
    }
    let Some((_, value)) = settings.order.highest(of(request)) else {
        let required = request.has_token(Name::Require, TAG);
        return required.then(|| unknown(settings));
    };
    let allowed = settings.allows(user, value);
    (!allowed).then(|| Reply::new(403, "Priority Not Authorized"))
}

/// The refusal of values that nobody knows here.
pub(super) fn unknown(settings: &Settings) -> Reply {
    let reply = Reply::new(417, "Unknown Resource-Priority");
    match settings.tell {
        true => reply.with("Accept-Resource-Priority", settings.order.list()),
        false => reply,
    }
}

/// Section 4.7.2.
pub(super) fn came(env: &Env<'_>, at: &mut UasRequest<'_>) -> Verdict {
    let settings = settings(env);
    let first = at.request.to_tag().is_none();
    let method = at.request.method();
    let speaks = at.request.has(Name::ResourcePriority) || at.request.has_token(Name::Require, TAG);
    if matches!(method, Method::Ack | Method::Cancel) {
        return Verdict::Pass;
    }
    if first && speaks {
        let claimed = caller(&at.request);
        let user = at.user.unwrap_or(&claimed);
        if let Some(reply) = judge(settings, &at.request, Some(user)) {
            return Verdict::reply(reply);
        }
    }
    if !first || method != Method::Invite || settings.lines == 0 {
        return Verdict::Pass;
    }
    let highest = settings.order.highest(of(&at.request));
    let rank = highest.map_or(0, |(rank, _)| rank);
    let like = highest.is_some_and(|(_, value)| value.displaces_its_like());
    let queues = highest.is_some_and(|(_, value)| value.namespace.algorithm == Algorithm::Queue)
        && settings.queue > 0;
    let call_id = at.request.call_id().unwrap_or_default();
    let Some(lines) = lines(at.agent) else { return Verdict::Pass };
    match lines.come(call_id, rank, like, queues, settings.lines, settings.queue) {
        Course::Free => Verdict::Pass,
        Course::Preempt(dialog) => {
            let reason = Some(Cause::Ua.reason().into_bytes());
            at.tasks.within(ID, dialog, Task::HangUp { reason });
            Verdict::Pass
        }
        Course::Queue(out) => {
            if let Some(dialog) = out {
                at.tasks.within(ID, dialog, Task::Refuse { status: 408 });
            }
            Verdict::Hold(Some(Box::new(Reply::new(182, "Queued"))))
        }
        Course::Busy => Verdict::refuse(486, "Busy Here"),
    }
}

/// Section 4.4, and what becomes of a call that came.
pub(super) fn respond(env: &Env<'_>, at: &mut UasResponse<'_>) -> Verdict {
    let settings = settings(env);
    let method = at.request.method();
    let tells = settings.tell && settings.chosen;
    if method == Method::Options && at.status / 100 == 2 && tells {
        at.fields.push("Accept-Resource-Priority", settings.order.list());
    }
    if settings.lines == 0 || method != Method::Invite || at.request.to_tag().is_some() {
        return Verdict::Pass;
    }
    if at.status >= 300 {
        let call_id = at.request.call_id().unwrap_or_default();
        if let Some(lines) = lines(at.agent) {
            lines.refused(call_id);
        }
        serve(settings, at.agent, at.tasks);
    } else if let Some(dialog) = &mut at.dialog {
        dialog.slots.set(ID, Mark);
        let id = dialog.id();
        if lines(at.agent).is_some_and(|lines| lines.known(&id, at.status >= 200)) {
            at.tasks.timer(ID, WAIT, settings.wait);
        }
    }
    Verdict::Pass
}

/// A line may be free.
fn serve(settings: &Settings, agent: &mut Slots, tasks: &mut Tasks) {
    let Some(lines) = lines(agent) else { return };
    while let Some(dialog) = lines.next(settings.lines) {
        tasks.within(ID, dialog, Task::Admit);
    }
}

/// A dialog is over.
pub(super) fn ended(env: &Env<'_>, at: &mut DialogEnded<'_>) -> Verdict {
    let id = at.dialog.id();
    if let Some(lines) = lines(at.agent) {
        lines.ended(&id);
    }
    serve(settings(env), at.agent, at.tasks);
    Verdict::Pass
}

/// Section 4.6.6: who has waited for too long gets 408.
pub(super) fn due(at: &mut DialogTimer<'_>) {
    let id = at.dialog.id();
    if at.tag == WAIT && lines(at.agent).is_some_and(|lines| lines.tired(&id)) {
        at.tasks.push(ID, Task::Refuse { status: 408 });
    }
}
