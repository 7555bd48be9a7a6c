//! The public door under clients that mean no good (P20, P21; reliability section 5 A): frames made by hand, from
//! strangers and from accredited members, against the real program, while eight members from eight nodes deposit.
//!
//! Each attack says how it must end; what all must leave as it was is asserted once, in [`siege`]. [`calibration`] makes the
//! same attacks on a door without limits, which they must find; [`process`] is what the machine does.
//!
//! | limit (`node/src/limits.rs`) | attack | counter |
//! |---|---|---|
//! | `strangers`, `strangers_per_address`, `connections` | 1,000 silent connections, from many addresses and from one | `over_cap` |
//! | `handshake`, `handshakes_in_flight` | silence, half hellos | `handshake_slow`, `handshake_failed` |
//! | `preface` | half prefaces, half a SETTINGS frame, another protocol | `preface_slow`, `preface_wrong` |
//! | `lines_per_node` | 1,000 handshakes of one member | `lines_replaced` |
//! | `streams_per_connection`, `calls_per_connection`, `local_resets` | 1,000 open streams | |
//! | `pending_resets`, `local_resets` | rapid reset before and after the end, cancelled long polls | |
//! | `header_list` | CONTINUATION full and empty, 10,000 headers, size updates | |
//! | `http_frame` | broken frames | |
//! | `chatter_ahead`, `chatter_per_second` | PING, SETTINGS, WINDOW_UPDATE, PRIORITY, unknown frames, unread | `chatter` |
//! | `call`, `deposit_grace`, `deposit_pace` | a byte in ten seconds | `too_slow` |
//! | `call`, for the answer | no window | `answers_not_taken` |
//! | `FIELDS_MAX`, `ELEMENTS_MAX`, `DEPTH_MAX` | a MiB of empty fields, depth | `malformed` |
//! | `bodies_per_node`, `bodies_in_flight` | 128 bodies held | `busy` |
//! | the `_per_minute` ones | more calls than a minute has, more questions after a health | `too_fast` |
//! | `FILES_KEPT` | out of files, in [`process`] | `no_files` |
//! | `drain` | told to end, in [`process`] | |
//! | `connection_age`, `connection_grace`, `letters_in_flight`, `parcels_in_flight`, `in_flight_per_node`, `deposit_longest` | unit tests in `listener/tests.rs`, `rpc/tests.rs`, `limits.rs` | |

mod calibration;
mod calls;
mod floods;
mod frames;
mod peer;
mod process;
mod siege;
mod site;
mod slow;
mod strangers;

use std::time::Duration;

use clearhouse_protocol::relay::rented;

use frames::{FRAME_MAX, PING, PRIORITY, SETTINGS, WINDOW_UPDATE, frame};
use siege::{Siege, besiege, drip, flood};
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
    let (rises, member) = (["too_slow", "answers_not_taken"], &siege.site.slow);
    siege.attack("a byte in ten seconds; no window", &rises, drip(), async || slow::all(member).await).await;
}

async fn by_force(siege: &Siege<'_>) {
    strangers(siege).await;
    frames_in_numbers(siege).await;
    floods_unread(siege).await;
    calls_of_nonsense(siege).await;
    calls_in_numbers(siege).await;
}

async fn strangers(siege: &Siege<'_>) {
    let (at, member, nobody) = (siege.site.fast.at, &siege.site.fast, &siege.site.stranger);
    let rises = ["over_cap", "handshake_slow"];
    siege.attack("1,000 silent connections", &rises, drip(), async || strangers::silent(at).await).await;
    siege.attack("1,000 half hellos", &rises, drip(), async || strangers::half_a_hello(at).await).await;
    siege.attack("100 silent from one address", &rises, drip(), async || strangers::from_one_address(at).await).await;
    let failed = ["handshake_failed"];
    siege.attack("not TLS", &failed, flood(), async || strangers::not_tls(at).await).await;
    siege.attack("an unknown key", &failed, flood(), async || strangers::unknown_key(nobody).await).await;
    let rises = ["preface_slow", "lines_replaced"];
    let preface = async || strangers::half_begun(member, 1000, strangers::half_a_preface()).await;
    siege.attack("1,000 half prefaces", &rises, drip(), preface).await;
    let settings = async || strangers::half_begun(member, 8, strangers::half_a_settings_frame()).await;
    siege.attack("half a SETTINGS frame", &rises, drip(), settings).await;
    let wrong = ["preface_wrong"];
    siege.attack("TLS, and then not HTTP/2", &wrong, flood(), async || strangers::not_http2(member).await).await;
}

async fn frames_in_numbers(siege: &Siege<'_>) {
    let (member, tenant) = (&siege.site.fast, &siege.site.tenant);
    let before = async || floods::rapid_reset_before_the_end(member).await;
    siege.attack("rapid reset before END_STREAM", &[], flood(), before).await;
    let after = async || floods::rapid_reset_after_the_end(member).await;
    siege.attack("rapid reset after END_STREAM", &[], flood(), after).await;
    let office = siege.site.region.origin.made.node;
    let mailbox = rented(siege.site.region.net, tenant.1.made.node, office);
    let polls = async || floods::cancelled_polls(&tenant.0, mailbox.as_bytes()).await;
    siege.attack("cancelled long polls", &[], flood(), polls).await;
    siege.attack("1,000 open streams", &[], flood(), async || floods::open_streams(member).await).await;
    let full = async || floods::continuation(member, FRAME_MAX, 1024).await;
    siege.attack("CONTINUATION flood, 16 MiB", &[], flood(), full).await;
    let empty = async || floods::continuation(member, 0, 20_000).await;
    siege.attack("CONTINUATION flood, empty", &[], flood(), empty).await;
    siege.attack("10,000 distinct headers", &[], flood(), async || floods::many_headers(member).await).await;
    siege.attack("HPACK size updates", &[], flood(), async || floods::table_sizes(member).await).await;
    siege.attack("empty DATA", &[], flood(), async || floods::empty_data(member).await).await;
    siege.attack("frames after the door's GOAWAY", &[], flood(), async || floods::after_goodbye(member).await).await;
    siege.attack("calls after our own GOAWAY", &[], flood(), async || floods::after_own_goodbye(member).await).await;
    siege.attack("broken frames", &[], flood(), async || floods::broken_frames(member).await).await;
}

async fn floods_unread(siege: &Siege<'_>) {
    let (member, chatter) = (&siege.site.fast, ["chatter"]);
    for (name, piece) in [
        ("PING, unread", frame(PING, 0, 0, &[7; 8])),
        ("SETTINGS, unread", frame(SETTINGS, 0, 0, &[])),
        ("WINDOW_UPDATE, unread", frame(WINDOW_UPDATE, 0, 0, &1u32.to_be_bytes())),
        ("PRIORITY, unread", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 7])),
        ("frames of no known kind, unread", frame(0xee, 0, 1, &[])),
    ] {
        siege.attack(name, &chatter, flood(), async || floods::unread(member, &piece).await).await;
    }
}

async fn calls_of_nonsense(siege: &Siege<'_>) {
    let (member, malformed) = (&siege.site.fast, ["malformed"]);
    siege.attack("a length of 4 GiB", &malformed, Duration::ZERO, async || calls::four_gigabytes(member).await).await;
    siege.attack("gzip bomb, unknown encodings", &malformed, Duration::ZERO, async || calls::gzip(member).await).await;
    siege.attack("a MiB of empty fields", &malformed, flood(), async || calls::elements(member).await).await;
    siege.attack("depth 17, 101, 10,000", &malformed, flood(), async || calls::depth(member).await).await;
    let unknown = async || calls::unknown_calls(member).await;
    siege.attack("calls that are not offered", &["not_offered"], flood(), unknown).await;
    siege.attack("grpc-timeout of nonsense", &[], flood(), async || calls::timeouts(member).await).await;
    siege.attack("metadata with CR, LF, ESC", &[], flood(), async || calls::metadata(member).await).await;
}

async fn calls_in_numbers(siege: &Siege<'_>) {
    let (site, tenant) = (siege.site, &siege.site.tenant.0);
    siege.attack("more calls than a minute has", &["too_fast"], flood(), async || calls::too_fast(tenant).await).await;
    let healthy = async || calls::too_healthy(tenant).await;
    siege.attack("more questions after a health", &["too_fast"], Duration::ZERO, healthy).await;
    let digests = async || calls::held(site, calls::DIGESTS, calls::DIGESTS_MAX).await;
    siege.attack("128 bodies held, of Digests", &["busy"], flood(), digests).await;
    let health = async || calls::held(site, calls::HEALTH, 4 << 20).await;
    siege.attack("128 bodies held, of health", &["malformed"], flood(), health).await;
}
