//! The public door under clients that mean no good (P20, P21; reliability section 5 A): frames made by hand, from
//! strangers and from accredited members, against the real program, while eight members from eight nodes deposit.
//!
//! Each attack says how it must end; what all must leave as it was is asserted once, in [`siege`].

mod calls;
mod floods;
mod frames;
mod peer;
mod siege;
mod site;
mod slow;
mod strangers;

use clearhouse_protocol::relay::rented;

use frames::{FRAME_MAX, PING, PRIORITY, SETTINGS, WINDOW_UPDATE, frame};
use siege::{Siege, besiege};
use site::Site;

#[test]
fn a_siege_of_the_door_ends_nothing_slows_nobody_and_leaves_nothing() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let site = Site::open().await;
        besiege(&site, async |siege| {
            tokio::join!(by_taking_time(siege), by_force(siege));
        })
        .await;
    });
}

async fn by_taking_time(siege: &Siege<'_>) {
    let slow = ["too_slow", "answers_not_taken"];
    siege.attack("a byte in ten seconds; no window", &slow, slow::all(&siege.site.slow)).await;
}

async fn by_force(siege: &Siege<'_>) {
    strangers(siege).await;
    frames_in_numbers(siege).await;
    calls_of_nonsense(siege).await;
}

async fn strangers(siege: &Siege<'_>) {
    let at = siege.site.fast.at;
    siege.attack("1,000 silent connections", &["over_cap", "handshake_slow"], strangers::silent(at)).await;
    siege.attack("1,000 half hellos", &["over_cap", "handshake_slow"], strangers::half_a_hello(at)).await;
    siege.attack("100 silent from one address", &["over_cap"], strangers::from_one_address(at)).await;
    siege.attack("not TLS", &["handshake_failed"], strangers::not_tls(at)).await;
    siege.attack("an unknown key", &["handshake_failed"], strangers::unknown_key(&siege.site.stranger)).await;
    let (member, rises) = (&siege.site.fast, ["preface_slow", "lines_replaced"]);
    let preface = strangers::half_begun(member, 1000, strangers::half_a_preface());
    siege.attack("1,000 half prefaces", &rises, preface).await;
    let settings = strangers::half_begun(member, 8, strangers::half_a_settings_frame());
    siege.attack("half a SETTINGS frame", &rises, settings).await;
}

async fn frames_in_numbers(siege: &Siege<'_>) {
    let (member, tenant) = (&siege.site.fast, &siege.site.tenant);
    siege.attack("rapid reset before END_STREAM", &[], floods::rapid_reset_before_the_end(member)).await;
    siege.attack("rapid reset after END_STREAM", &[], floods::rapid_reset_after_the_end(member)).await;
    let office = siege.site.region.origin.made.node;
    let mailbox = rented(siege.site.region.net, tenant.1.made.node, office);
    siege.attack("cancelled long polls", &[], floods::cancelled_polls(&tenant.0, mailbox.as_bytes())).await;
    siege.attack("1,000 open streams", &[], floods::open_streams(member)).await;
    siege.attack("CONTINUATION flood, 16 MiB", &[], floods::continuation(member, FRAME_MAX, 1024)).await;
    siege.attack("CONTINUATION flood, empty", &[], floods::continuation(member, 0, 20_000)).await;
    siege.attack("10,000 distinct headers", &[], floods::many_headers(member)).await;
    siege.attack("HPACK size updates", &[], floods::table_sizes(member)).await;
    let chatter = ["chatter"];
    siege.attack("PING, unread", &chatter, floods::unread(member, frame(PING, 0, 0, &[7; 8]))).await;
    siege.attack("SETTINGS, unread", &chatter, floods::unread(member, frame(SETTINGS, 0, 0, &[]))).await;
    let window = frame(WINDOW_UPDATE, 0, 0, &1u32.to_be_bytes());
    siege.attack("WINDOW_UPDATE, unread", &chatter, floods::unread(member, window)).await;
    let priority = frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 7]);
    siege.attack("PRIORITY, unread", &chatter, floods::unread(member, priority)).await;
    let unknown = frame(0xee, 0, 1, &[]);
    siege.attack("frames of no known kind, unread", &chatter, floods::unread(member, unknown)).await;
    siege.attack("empty DATA", &[], floods::empty_data(member)).await;
    siege.attack("frames after the door's GOAWAY", &[], floods::after_goodbye(member)).await;
    siege.attack("calls after our own GOAWAY", &[], floods::after_own_goodbye(member)).await;
    siege.attack("broken frames", &[], floods::broken_frames(member)).await;
}

async fn calls_of_nonsense(siege: &Siege<'_>) {
    let member = &siege.site.fast;
    siege.attack("a length of 4 GiB", &["malformed"], calls::four_gigabytes(member)).await;
    siege.attack("gzip bomb, unknown encodings", &[], calls::gzip(member)).await;
    siege.attack("a MiB of empty fields", &["malformed"], calls::elements(member)).await;
    siege.attack("depth 17, 101, 10,000", &["malformed"], calls::depth(member)).await;
    siege.attack("calls that are not offered", &["not_offered"], calls::unknown_calls(member)).await;
    siege.attack("grpc-timeout of ten years, 0, garbage", &[], calls::timeouts(member)).await;
    siege.attack("metadata with CR, LF, ESC", &[], calls::metadata(member)).await;
}
