/* Every map: who writes it, who reads it, who deletes from it, and its bound.
 *
 * The counting maps exist twice. A program run reads the generation once and writes that half; the agent
 * flips it, waits until all running programs have ended, and drains the other half undisturbed. */

#define MAX_FLOWS 65536
#define MAX_FLOW_COUNTS 32768
#define FLOW_PLACES 8192   /* in each half */
#define ROW_PLACES 8192    /* in each half */
#define MAX_REQUEST_ROWS 65536
#define MAX_NAMES 32768
#define MAX_SHARES 16384
#define MAX_NETWORKS 1024
#define MAX_KNOWN_CONNECTIONS 65536

/* Socket storage lives and dies with its socket; the kernel frees it, nobody deletes. BCC has no form of
 * this with flags, and a listener's storage must pass to the connections that it accepts. */
#define SOCKET_STORAGE(_name, _leaf_type, _flags) \
  struct _name##_table_t { \
    int key; \
    _leaf_type leaf; \
    void *(*sk_storage_get)(void *, void *, int); \
    int (*sk_storage_delete)(void *); \
    u32 flags; \
  }; \
  __attribute__((section("maps/sk_storage"))) \
  struct _name##_table_t _name = { .flags = BPF_F_NO_PREALLOC | (_flags) }; \
  BPF_ANNOTATE_KV_PAIR(_name, int, _leaf_type)

/* How a parser stands to one direction's bytes. */
enum reading {
  READING,
  READING_TAINTED,         /* not until the next boundary that is certain */
  READING_OVER,            /* nothing more will be read from them */
};

/* What is still to be read of a TLS handshake, at the client's end. */
enum waits {
  WAITS_FOR_NOTHING,
  WAITS_FOR_NAME,          /* it has no flow before the name in its hello was read */
  WAITS_FOR_HANDSHAKE,
};

/* A storage begins eight bytes behind the start of a line of the cache. */
#define BEGINS_A_LINE(_type, _member) \
  _Static_assert((__builtin_offsetof(_type, _member) + 8) % 64 == 0, #_member " begins no line")

/* What is kept for every TCP socket: small, since it is charged to the agent's memory for each of them. What each packet
 * looks at lies in one line of the cache. */
struct connection {
  u64 cgroup_id;
  u64 netns_cookie;
  u64 opened_ns;           /* when its connect began; once it is there, how long that took */
  u64 asked_address[2];
  char command[16];

  u64 flow;                /* 0 until its first packet */
  u64 turn_start_ns;       /* bytes of the client are on their way, none of the server came back yet; 1 where its time is no matter */
  u64 received_bytes;      /* counted so far */
  u32 next_out;            /* sequence numbers after the last byte that was counted */
  u32 next_in;
  u32 matters[2];          /* ingress, egress: sequence of the next byte that its parser wants */
  u32 reader;              /* whether a CPU reads the peer's bytes now (ordering.c) */
  u8 role;
  u8 protocol;
  u8 confirmed;            /* a parser has accepted the protocol */
  u8 sequenced;            /* next_out and next_in are set */
  u8 reading[2];           /* ingress, egress: enum reading */
  u8 gap;                  /* bytes of the peer came out of order: TCP's own count tells */
  u8 early;                /* early bytes are kept */
  u8 first_at_listener;    /* the listener has kept first segments of connections: maybe this one's */
  u8 fin_received;         /* TCP counts a FIN as a byte */
  u8 begins_again;         /* at its next segment its HTTP parser starts anew: it is older than the agent */
  u8 waits;                /* enum waits */
  u8 turns;                /* that ended, modulo 256 */
  u8 counted;              /* it is among the flow's connections */
  u8 ended_by;             /* enum role: who said first that it is over */
  u8 adopted;              /* open before the agent */
  u8 dns_prefix[2];        /* server, client: a message's length came in a segment of its own */
  u8 unlike[2];            /* ingress, egress: segments that are not held against the one before (protocols/http/repeat.c) */

  u32 process_id;
  u32 unsaid_bytes;        /* sent, and retransmitted, before it had a flow */
  u32 unsaid_retransmits;
  u16 unsaid_packets;
  u16 connect_bucket;      /* of how long its connect took; 0: it is not there yet, or began before the agent */
  u16 asked_port;
  u16 reserved[3];
};
BEGINS_A_LINE(struct connection, flow);
BEGINS_A_LINE(struct connection, process_id);
SOCKET_STORAGE(connections, struct connection, BPF_F_CLONE);

/* The early bytes of a socket: what is there, as runs of sequence numbers; the bytes lie in pages. Made when
 * its first segment comes early. */
#define EARLY_RUNS 32
struct early_run {
  u32 start;
  u32 end;                 /* equal to the start: this entry is free */
};
struct early_bytes {
  u64 stream;              /* the key of its pages */
  u64 present;             /* bit i: page first_page + i was made by this socket */
  u32 first_page;
  u32 live;                /* results of scans: kept in memory, so that the verifier forgets the values */
  u32 found;
  u32 free;
  u32 at;                  /* bytes of a segment that are being kept: from, to, and where in the packet */
  u32 end;
  u32 offset;
  u32 reserved[2];
  struct early_run runs[EARLY_RUNS];
};
SOCKET_STORAGE(early_streams, struct early_bytes, 0);

/* A piece of a stream's sequence space. Written and deleted by the kernel; the oldest gives way, and its owner
 * sees that it is gone, so nothing need be freed when a socket closes. Bound: 4 MB of early bytes at once. */
#define EARLY_PAGES 1024
#define PAGE_BYTES 4096
#define PAGE_BITS 12
#define EARLY_UNIT 1024    /* bytes copied at a time */
struct early_page_key {
  u64 stream;
  u32 number;              /* sequence >> PAGE_BITS */
  u32 reserved;
};
struct early_page {
  struct early_page_key key;   /* tells a reader that it was not given to another meanwhile */
  u8 bytes[PAGE_BYTES + EARLY_UNIT];
};
BPF_TABLE("lru_hash", struct early_page_key, struct early_page, early_pages, EARLY_PAGES);
BPF_ARRAY(blank_page, struct early_page, 1);

/* stream -> the segment that made the connection, when its listener met it: the handshake's last ACK was lost, or
 * was made to wait for data. Written by the listener's packet, deleted by the connection's first one. */
struct first_segment {
  u64 time_ns;
  u64 bytes;               /* its first eight */
  u32 start;
  u32 end;
};
BPF_TABLE("lru_hash", u64, struct first_segment, first_segments, 1024);

/* The last peer of a UDP socket: most talk to one, and then no flow need be looked up. */
struct datagrams {
  u64 flow;
  u64 netns_cookie;
  u64 peer_address[2];
  u64 local_address[2];
  char command[16];
  u32 process_id;
  u16 peer_port;
  u8 role;
  u8 quic;                 /* enum quic_socket */
};
SOCKET_STORAGE(datagram_sockets, struct datagrams, 0);

/* Written by the agent (seed and budgets at the start, generation at each drain). */
BPF_ARRAY(control, struct control, 1);

/* id -> flow. Written by the kernel when a flow is first seen, read by the agent when an announcement was
 * lost, deleted by the agent when the flow has been idle and has no open connection. Beyond its endpoint's share
 * a connection counts under that endpoint's (other), see flows_as_other. Full: the counts go to flow FLOW_OTHER,
 * and flow_table_full counts them. */
BPF_HASH(flows, u64, struct flow, MAX_FLOWS);

/* flow id -> counters, rows of requests. Written by the kernel, read and deleted by the agent in the half
 * that the kernel does not write. Full: see flow_counts_as_other, rows_as_other, request_rows_full. */
BPF_HASH(flow_counts_0, u64, struct flow_counts, MAX_FLOW_COUNTS);
BPF_HASH(flow_counts_1, u64, struct flow_counts, MAX_FLOW_COUNTS);

/* The same for most flows, at a place that follows from the flow's id: half of them are of generation 0. A flow whose place
 * another has is in the hash for its life. Written by the kernel, read and set to zero by the agent in the half that the
 * kernel does not write. */
BPF_F_TABLE("array", u32, struct placed_counts, placed_counts, 2 * FLOW_PLACES, BPF_F_MMAPABLE);

/* place -> the flow that has it. Inserted by the kernel when a flow is first seen; deleted by the agent once the flow is
 * forgotten and both halves have been drained since. */
BPF_HASH(places, u32, u64, FLOW_PLACES);

BPF_HASH(request_rows_0, struct request, struct request_counts, MAX_REQUEST_ROWS);
BPF_HASH(request_rows_1, struct request, struct request_counts, MAX_REQUEST_ROWS);

/* The same for most rows, at a place that follows from what they are: half of them are of generation 0. A row whose place
 * another has is in the hash until the next drain. Written by the kernel, read and set to zero by the agent in the half that the
 * kernel does not write. */
BPF_F_TABLE("array", u32, struct placed_row, placed_rows, 2 * ROW_PLACES, BPF_F_MMAPABLE);

BPF_ARRAY_OF_MAPS(flow_counts, "flow_counts_0", 2);
BPF_ARRAY_OF_MAPS(request_rows, "request_rows_0", 2);

/* Name ids. Inserted by the kernel, marked and deleted by the agent. Full or beyond the endpoint's share: the name
 * is (other). */
BPF_HASH(names, u64, struct name_state, MAX_NAMES);

/* How much of its share an endpoint has taken. Counted by the kernel; corrected and deleted by the agent, which knows
 * what is left of it. Shares of rows have the generation that they are about in their upper half. Full: one more
 * endpoint takes of the share that all those have together, which is cgroup 0's: budgets_full. */
BPF_HASH(shares, struct share, u64, MAX_SHARES);

/* Ranges of addresses that are ours. Written by the agent at its start. Full: inside_full, and servers show the clients
 * of the ranges that are left out as outside. */
BPF_LPM_TRIE(inside, struct network, u8, MAX_NETWORKS);

/* cgroups that have a name of their own. Written and deleted by the agent. */
BPF_HASH(named_cgroups, u64, u8, 32768);

/* Connections that were open before the agent. Written by the agent at its start, deleted by the kernel
 * when it meets the socket; what is left has been silent ever since. */
BPF_HASH(known_connections, struct tuple, u8, MAX_KNOWN_CONNECTIONS);

/* Connects without a SYN yet, by socket cookie. Written and deleted by the kernel; what the agent finds
 * there after a second had no route, is counted so by it, and deleted. */
BPF_HASH(connecting, u64, struct connecting, 16384);

/* DNS queries without an answer yet. Written and deleted by the kernel; what the agent finds there after
 * five seconds timed out, is counted so by it, and deleted. */
BPF_HASH(dns_queries, struct dns_query_key, struct dns_query, 16384);

/* When answers for (flow, name, type) were last announced. Written by the kernel; no count lives here, so
 * the oldest may be forgotten. */
BPF_TABLE("lru_hash", u64, u64, dns_announced, 8192);

/* What a client's socket speaks to by QUIC, the newest connection there. Written by the kernel; no count lives here, so
 * the oldest may be forgotten: that one's flow has no name when its socket comes back from another peer. */
struct quic_peer_key {
  u64 socket;              /* cookie */
  u64 address[2];
  u16 port;
  u16 reserved[3];
};
struct quic_peer {
  u64 connection;
  u64 began_ns;
  u64 server_name;         /* once it is settled; 0: none */
  u32 samples;
  u8 settled;
  u8 shared;               /* by connections to two names, whose datagrams nobody can tell apart */
  u8 reserved[2];
};
BPF_TABLE("lru_hash", struct quic_peer_key, struct quic_peer, quic_peers, 4096);

/* QUIC connection -> id of the name in its hello, 0: none was read. Written by the agent, read by the kernel within
 * QUIC_SETTLES_NS; so the oldest may be forgotten. */
BPF_TABLE("lru_hash", u64, u64, quic_names, 4096);

/* cgroup, or one of these -> what was sampled in one window of time. Written by the kernel; the oldest may be forgotten. */
#define SAMPLES_OF_QUIC 0              /* all of its datagrams; no cgroup has that number */
#define SAMPLES_OF_TLS (~0ULL)         /* pieces of all its handshakes */
struct sample_rate {
  u64 window;
  u64 taken;
};
BPF_TABLE("lru_hash", u64, struct sample_rate, sample_rates, 1024);

/* flow -> when its server's certificate was last looked at. Written by the kernel; the oldest may be forgotten, and is looked
 * at once more. */
BPF_TABLE("lru_hash", u64, u64, certificates_seen, 4096);

/* Counters by enum loss, for ever growing. Written by the kernel, read by the agent. */
BPF_ARRAY(losses, u64, LOSS_COUNT);

/* HTTP parsers in use. Written by the kernel, read by the kernel and the agent. */
BPF_ARRAY(parsers, u64, 1);

/* Announcements to the agent, which reads them at once. Full: ring_full. */
BPF_RINGBUF_OUTPUT(announcements, 64);

/* The programs that entry programs call, by enum parser. Written by the loader. */
enum parser {
  PARSER_HTTP_RECEIVED, PARSER_DNS, KEEP_EARLY, REPLAY_EARLY, REPLAY_HTTP, PARSER_HTTP_SENT, PARSER_TLS,
  PARSER_QUIC,
  PARSER_COUNT = 8,
};
BPF_PROG_ARRAY(parsers_by_protocol, PARSER_COUNT);

#define NAMED (~0ULL)
#define FLOW_OTHER 1
#define OTHERS_EACH_ENDPOINT 64   /* flows of the kind (other), beyond its share: one a role and command */
