//! A call in progress.

use crate::{
    peer::{Message, Peer, answer, unique},
    towel::{DOMAIN, Towel},
};

/// A call that was answered and acknowledged.
pub(crate) struct Call {
    caller: Peer,
    callee: Peer,
    ok: Message,
    /// The Record-Route that the INVITE came with.
    pub(crate) route: String,
}

impl Call {
    pub(crate) fn set_up(server: &Towel) -> Call {
        let (caller, callee) = (Peer::new(server), Peer::new(server));
        let user = unique("callee");
        callee.bind(&user);
        let contact = |peer: &Peer| format!("Contact: <sip:x@{}>\r\n", peer.at());
        let uri = format!("sip:{user}@{DOMAIN}");
        caller.send(&caller.request("INVITE", &uri, &contact(&caller)));
        let invite = callee.next();
        let route = invite.field("Record-Route").to_owned();
        callee.send(&answer(&invite, "200 OK", "t", &contact(&callee)));
        let ok = caller.final_response();
        assert_eq!(ok.status(), 200, "{}", ok.text);
        let call = Call { caller, callee, ok, route };
        call.caller.send(&call.within("ACK", 1));
        assert_eq!(call.callee.next_but(&[&invite]).method(), "ACK");
        call
    }

    pub(crate) fn within(&self, method: &str, cseq: u32) -> String {
        let more = format!(
            "Route: {}\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n",
            self.route,
            self.ok.field("From"),
            self.ok.field("To"),
            self.ok.field("Call-ID")
        );
        self.caller.request(method, &format!("sip:x@{}", self.callee.at()), &more)
    }

    /// Both ends: who called and who was called.
    #[allow(dead_code)]
    pub(crate) fn ends(&self) -> (&Peer, &Peer) {
        (&self.caller, &self.callee)
    }

    /// A request of who was called.
    #[allow(dead_code)]
    pub(crate) fn back(&self, method: &str, cseq: u32) -> String {
        let more = format!(
            "Route: {}\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n",
            self.route,
            self.ok.field("To"),
            self.ok.field("From"),
            self.ok.field("Call-ID")
        );
        self.callee.request(method, &format!("sip:x@{}", self.caller.at()), &more)
    }

    pub(crate) fn end(self) {
        self.caller.send(&self.within("BYE", 2));
        let bye = self.callee.next();
        assert_eq!(bye.method(), "BYE", "{}", bye.text);
        self.callee.send(&answer(&bye, "200 OK", "", ""));
        assert_eq!(self.caller.final_response().status(), 200);
    }
}
