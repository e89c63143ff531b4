//! What the documents ask, and what shows that it is met.

use towel_core::contract::FlowKind::{Common, Failure};
use towel_core::contract::{FlowKind, FlowReference, Proof, Roles, Rule};

const fn rule(section: &'static str, roles: Roles, text: &'static str, proof: Proof) -> Rule {
    Rule { section, roles, text, proof }
}

const fn flow(name: &'static str, kind: FlowKind, roles: Roles) -> FlowReference {
    FlowReference { name, kind, roles }
}

/// A test of this entry.
macro_rules! tested {
    ($name:literal) => {
        Proof::Test(concat!("call_control::refer::tests::", $name))
    };
}

pub(super) const RULES: &[Rule] = &[
    rule(
        "3515 2.4.1",
        Roles::UAC,
        "a REFER has exactly one Refer-To",
        Proof::Flow("refer-outside"),
    ),
    rule(
        "3515 2.4.2",
        Roles::UAS,
        "one with none or more than one gets 400",
        Proof::Flow("refer-malformed"),
    ),
    rule(
        "3515 2.4.2",
        Roles::UAS,
        "the user is asked; who does not want to declines",
        Proof::Flow("refer-declined"),
    ),
    rule(
        "3515 2.4.2",
        Roles::UAS,
        "URIs that cannot be contacted are not accepted",
        tested!("there_is_one_refer_to_that_can_be_followed"),
    ),
    rule(
        "3515 2.4.2, 2.4.4",
        Roles::UAS,
        "who accepts makes a subscription and tells how it goes, at once and at the end",
        Proof::Flow("refer-followed"),
    ),
    rule(
        "7647 5",
        Roles::UAS,
        "it is accepted with 200 and never with 202",
        Proof::Flow("refer-followed"),
    ),
    rule("7647 5", Roles::UAC, "a 202 is taken for a 200", Proof::Flow("refer-outside")),
    rule(
        "3515 2.4.3",
        Roles::UAS,
        "the URI is contacted with the method that it names, INVITE by default",
        Proof::Flow("refer-other-method"),
    ),
    rule(
        "3515 2.4.4",
        Roles::UAS,
        "each NOTIFY has the dialog identifiers of the REFER and Event: refer",
        Proof::Flow("refer-followed"),
    ),
    rule(
        "3515 2.4.4",
        Roles::UAC,
        "a NOTIFY may come before the response to the REFER",
        Proof::Flow("refer-notify-first"),
    ),
    rule(
        "3515 2.4.4",
        Roles::UAS,
        "who ends the subscription does not end what was asked for",
        Proof::Flow("refer-unsubscribed"),
    ),
    rule(
        "3515 2.4.4",
        Roles::UAS,
        "the subscription can be refreshed",
        Proof::Flow("refer-unsubscribed"),
    ),
    rule(
        "3515 2.4.4",
        Roles::UAS,
        "a SUBSCRIBE for the package that belongs to no REFER gets 403",
        Proof::Flow("refer-subscribe-refused"),
    ),
    rule(
        "3515 2.4.5",
        Roles::UA,
        "the body of each NOTIFY is a fragment that begins with a status line",
        tested!("what_is_told_begins_with_a_status_line"),
    ),
    rule(
        "3515 2.4.6",
        Roles::UAS,
        "from the second REFER in a dialog on, NOTIFY has the CSeq number as id",
        Proof::Flow("refer-twice"),
    ),
    rule(
        "3515 2.4.7",
        Roles::UAS,
        "the last NOTIFY says terminated, for noresource",
        Proof::Flow("refer-followed"),
    ),
    rule(
        "3515 3.9",
        Roles::UAC,
        "each who accepted a forked REFER has a subscription of its own",
        Proof::Flow("refer-forked"),
    ),
    rule(
        "3515 5.3",
        Roles::UAS,
        "no more of the responses is told than their status lines",
        Proof::Flow("refer-followed"),
    ),
    rule(
        "3261 19.1.5",
        Roles::UAS,
        "header fields that a URI must not decide on are left out",
        tested!("what_a_uri_may_not_say_is_left_out"),
    ),
    rule(
        "6665 4.1.2.4",
        Roles::UAC,
        "64*T1 without a NOTIFY end the subscription; a NOTIFY after that gets 481",
        Proof::Flow("refer-silent"),
    ),
    rule(
        "6665 4.4.1",
        Roles::UAC,
        "the dialog is made by the NOTIFY, and has its route set",
        Proof::Flow("refer-outside"),
    ),
    rule(
        "6665 4.2.2",
        Roles::UAS,
        "a NOTIFY that is refused with 481 ends the subscription; the call goes on",
        Proof::Flow("refer-notify-refused"),
    ),
    rule(
        "7614 4.3",
        Roles::UAS,
        "who requires explicitsub gets 200 with a URI that is hard to guess, and no subscription",
        Proof::Flow("refer-explicit"),
    ),
    rule(
        "7614 4.4",
        Roles::UAC,
        "it subscribes there, in a dialog of its own",
        Proof::Flow("refer-explicit-asked"),
    ),
    rule(
        "7614 4.7",
        Roles::UAS,
        "the final state is kept for 128*T1, and told to who subscribes then",
        Proof::Flow("refer-explicit"),
    ),
    rule(
        "7614 5",
        Roles::UA,
        "who requires nosub gets no subscription at all",
        Proof::Flow("refer-nosub"),
    ),
    rule(
        "7614 6",
        Roles::UAS,
        "a 421 demands one of the two tags where it is wished for",
        Proof::Excepted("nothing is wished for: the one who refers chooses"),
    ),
    rule(
        "7647 3",
        Roles::UAS,
        "the Contact of who accepts is a GRUU",
        Proof::Excepted("the user agent has no GRUU yet; its Contact leads to it all the same"),
    ),
    rule(
        "7647 4",
        Roles::UAC,
        "in a dialog whose peer has a GRUU no REFER is sent that could subscribe",
        Proof::Excepted(
            "it is where the peer says nothing of Target-Dialog, as RFC 5589 section 5 has it",
        ),
    ),
    rule(
        "5589 5",
        Roles::UAS,
        "a REFER is taken inside and outside of the call's dialog",
        Proof::Flow("transfer-blind-outside"),
    ),
    rule(
        "5589 6",
        Roles::UA,
        "Allow names REFER and NOTIFY, Supported tdialog",
        Proof::Flow("transfer-blind-outside"),
    ),
    rule(
        "5589 6.1",
        Roles::UAC,
        "the call is held until the new one is up, and ended then",
        Proof::Flow("transfer-blind"),
    ),
    rule(
        "5589 6.3",
        Roles::UAC,
        "a transfer that fails leaves the call as it was",
        Proof::Flow("transfer-blind-busy"),
    ),
    rule(
        "5589 7.3",
        Roles::UAC,
        "an attended one names the target's Contact, with Replaces",
        Proof::Flow("transfer-attended"),
    ),
    rule(
        "5589 7.5",
        Roles::UAC,
        "where a Contact leads nowhere the address is named, with Require: replaces",
        Proof::Flow("transfer-by-address"),
    ),
];

pub(super) const FLOWS: &[FlowReference] = &[
    flow("refer-followed", Common, Roles::UAS),
    flow("refer-outside", Common, Roles::UAC),
    flow("refer-notify-first", Common, Roles::UAC),
    flow("refer-forked", Common, Roles::UAC),
    flow("refer-twice", Common, Roles::UAS),
    flow("refer-other-method", Common, Roles::UAS),
    flow("refer-explicit", Common, Roles::UAS),
    flow("refer-explicit-asked", Common, Roles::UAC),
    flow("refer-nosub", Common, Roles::UA),
    flow("refer-unsubscribed", Failure, Roles::UAS),
    flow("refer-malformed", Failure, Roles::UAS),
    flow("refer-declined", Failure, Roles::UA),
    flow("refer-declined-later", Failure, Roles::UA),
    flow("refer-subscribe-refused", Failure, Roles::UAS),
    flow("refer-silent", Failure, Roles::UAC),
    flow("refer-notify-refused", Failure, Roles::UAS),
    flow("transfer-blind", Common, Roles::UA),
    flow("transfer-blind-outside", Common, Roles::UAS),
    flow("transfer-unattended", Common, Roles::UA),
    flow("transfer-blind-busy", Failure, Roles::UA),
    flow("transfer-blind-no-answer", Failure, Roles::UA),
    flow("transfer-protecting", Common, Roles::UA),
    flow("transfer-attended", Common, Roles::UA),
    flow("transfer-attended-rough", Common, Roles::UA),
    flow("transfer-attended-refused", Failure, Roles::UA),
    flow("transfer-other-way", Failure, Roles::UAC),
    flow("transfer-by-address", Common, Roles::UA),
    flow("transfer-semi-attended", Common, Roles::UA),
    flow("transfer-semi-attended-busy", Failure, Roles::UAC),
    flow("transfer-fallback", Failure, Roles::UAC),
    flow("transfer-referred-by", Failure, Roles::UA),
    flow("transfer-conference", Common, Roles::UA),
    flow("transfer-twice", Common, Roles::UA),
];
