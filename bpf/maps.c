/* Every map: who writes it, who reads it, who deletes from it, and its bound.
 *
 * The counting maps exist twice. A program run reads the generation once and writes that half; the agent
 * flips it, waits until all running programs have ended, and drains the other half undisturbed. */

#define MAX_FLOWS 65536
#define MAX_FLOW_COUNTS 32768
#define MAX_REQUEST_ROWS 65536
#define MAX_NAMES 32768
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

/* What is kept for every TCP socket: small, since it is charged to the agent's memory for each of them. */
struct connection {
  u64 flow;                /* 0 until its first packet */
  u64 cgroup_id;
  u64 netns_cookie;
  u64 opened_ns;
  u64 turn_start_ns;       /* bytes of the client are on their way, none of the server came back yet */
  u64 received_bytes;      /* counted so far */
  u64 asked_address[2];
  char command[16];
  u32 process_id;
  u32 next_out;            /* sequence numbers after the last byte that was counted */
  u32 next_in;
  u32 matters[2];          /* ingress, egress: sequence of the next byte that its parser wants */
  u16 asked_port;
  u8 role;
  u8 protocol;
  u8 confirmed;            /* a parser has accepted the protocol */
  u8 sequenced;            /* next_out and next_in are set */
  u8 counted;              /* it is among the flow's connections */
  u8 ended_by;             /* enum role: who said first that it is over */
  u8 fin_received;         /* TCP counts a FIN as a byte */
  u8 adopted;              /* open before the agent */
  u8 dns_prefix[2];        /* server, client: a message's length came in a segment of its own */
  u8 reserved[7];
};
SOCKET_STORAGE(connections, struct connection, BPF_F_CLONE);

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
  u8 reserved;
};
SOCKET_STORAGE(datagram_sockets, struct datagrams, 0);

/* Written by the agent (seed and budgets at the start, generation at each drain). */
BPF_ARRAY(control, struct control, 1);

/* id -> flow. Written by the kernel when a flow is first seen, read by the agent when an announcement was
 * lost, deleted by the agent when the flow has been idle and has no open connection. Full: the counts go
 * to flow FLOW_OTHER, and flow_table_full counts them. */
BPF_HASH(flows, u64, struct flow, MAX_FLOWS);

/* flow id -> counters, rows of requests. Written by the kernel, read and deleted by the agent in the half
 * that the kernel does not write. Full: see flow_counts_full, rows_as_other, request_rows_full. */
BPF_HASH(flow_counts_0, u64, struct flow_counts, MAX_FLOW_COUNTS);
BPF_HASH(flow_counts_1, u64, struct flow_counts, MAX_FLOW_COUNTS);
BPF_HASH(request_rows_0, struct request, struct request_counts, MAX_REQUEST_ROWS);
BPF_HASH(request_rows_1, struct request, struct request_counts, MAX_REQUEST_ROWS);
BPF_ARRAY_OF_MAPS(flow_counts, "flow_counts_0", 2);
BPF_ARRAY_OF_MAPS(request_rows, "request_rows_0", 2);

/* name id -> when it was announced, or NAMED once the agent has its text. Inserted by the kernel, marked
 * and deleted by the agent. Full or beyond the endpoint's budget: the name is (other). */
BPF_HASH(names, u64, u64, MAX_NAMES);
BPF_HASH(name_budgets, struct name_budget_key, u64, 8192);

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

/* Counters by enum loss, for ever growing. Written by the kernel, read by the agent. */
BPF_ARRAY(losses, u64, LOSS_COUNT);

/* HTTP parsers in use. Written by the kernel, read by the kernel and the agent. */
BPF_ARRAY(parsers, u64, 1);

/* Announcements to the agent, which reads them at once. Full: ring_full. */
BPF_RINGBUF_OUTPUT(announcements, 64);

/* The parsers that entry programs call, by enum parser. Written by the loader. */
enum parser { PARSER_HTTP = 0, PARSER_DNS = 1, PARSER_COUNT = 8 };
BPF_PROG_ARRAY(parsers_by_protocol, PARSER_COUNT);

#define NAMED (~0ULL)
#define FLOW_OTHER 1
