/* Every struct that crosses between the kernel's side and the agent, once. The agent learns the layout
 * from the compiler (agent/kernel/loader.py), so nothing here has a twin in Python. Members that become
 * columns of the contract carry the contract's names.
 *
 * Addresses are two 64-bit words in network order; IPv4 is v4-mapped. Ports are in host order. */
#pragma once

/* Values of the contract (protos/plumbline/v1/flow.proto), checked against it by a test. */
enum role { ROLE_UNKNOWN = 0, ROLE_CLIENT = 1, ROLE_SERVER = 2 };
enum protocol { PROTOCOL_UNKNOWN = 0, PROTOCOL_TCP = 1, PROTOCOL_UDP = 2, PROTOCOL_HTTP = 3, PROTOCOL_DNS = 4, PROTOCOL_TLS = 5 };
enum outcome { OUTCOME_ANSWERED = 1, OUTCOME_UNANSWERED_CLIENT = 2, OUTCOME_UNANSWERED_SERVER = 3 };
enum name_kind { NAME_KIND_ROUTE = 1, NAME_KIND_HOST = 2, NAME_KIND_DNS = 3 };
enum { NAME_NONE = 0, NAME_OTHER = 1 };

/* Why something was not counted where it belongs. The order is the index in `losses`. */
#define LOSSES(X) \
  X(flow_table_full)      /* a new flow found no room: its counts go to the catch-all flow */ \
  X(flow_counts_full)     /* no room for a flow's counters in this interval */ \
  X(request_rows_full)    /* no room for a row of requests, not even for (other) */ \
  X(socket_state)         /* the kernel gave no storage for a socket */ \
  X(parser_budget)        /* more parsed connections at once than budgeted: unparsed */ \
  X(parser_state)         /* the kernel gave no storage for a parser */ \
  X(ring_full)            /* an announcement found no room; it is made again */ \
  X(http_gap)             /* bytes of a message's head were missed: requests unknown until the next boundary */ \
  X(http_requests)        /* requests whose answer could not be told from another after a gap */ \
  X(http_unpaired)        /* an answer whose request was not seen */ \
  X(http_pipeline)        /* more requests in flight on one connection than are followed */ \
  X(dns_in_flight_full)   /* no room to remember a query: its answer has no latency and is not counted */ \
  X(dns_unpaired)         /* an answer whose query was not seen, or had been counted as timed out */ \
  X(dns_split)            /* DNS over TCP cut in a way that is not followed */ \
  X(connecting_full)      /* a connect that may fail without a route could not be remembered */ \
  X(header_unreadable)    /* a packet's header was not in reach */

/* Detail that was given up on purpose, while the sums were kept. */
#define DROPS(X) \
  X(names_beyond_budget)  /* a route, host or DNS name counted as (other) */ \
  X(name_budgets_full)    /* the same, for want of room to keep one more endpoint's budget of new names */ \
  X(rows_as_other)        /* a row of requests counted as (other) because the table was full */

#define ENUM_LOSS(name) LOSS_##name,
enum loss { LOSSES(ENUM_LOSS) DROPS(ENUM_LOSS) LOSS_COUNT };

/* Written by the agent, read once a program run. */
struct control {
  u64 seed;
  u32 generation;          /* 0 or 1: which half of the double-buffered maps this run writes */
  u32 parser_budget;       /* parsed connections at once */
  u32 names_each_endpoint; /* new names a cgroup and kind may announce until the agent ages them */
  u32 sk_err_offset;       /* of sk_err and its kin in struct sock, from the kernel's BTF */
  u32 sk_err_soft_offset;
  u32 sk_error_queue_offset;
  u32 queued_errno_offset; /* of the reason in a packet of that queue */
  u32 reserved;
};

/* What one local endpoint exchanges with one remote address, in one role, over one server's port. Its words
 * are its identity: none may be left unset. */
struct flow {
  u64 cgroup_id;
  u64 netns_cookie;        /* each network namespace has a loopback of its own; 0 where the kernel does not tell */
  u64 local_address[2];
  u64 peer_address[2];
  u64 asked_address[2];    /* before translation; zero where it equals the peer */
  char command[16];        /* empty for cgroups that have a name */
  u16 port;
  u16 asked_port;
  u8 role;
  u8 transport;
  u16 reserved;
};

struct flow_counts {
  u64 bytes_sent;
  u64 bytes_received;
  u64 packets_sent;
  u64 packets_received;
  u64 connections;
  u64 adopted;
  u64 closed;
  u64 refused;
  u64 timeout;
  u64 reset;
  u64 unreachable;
  u64 other;
  u64 retransmits;
  u64 rtt_sum_us;
  u64 rtt_count;
  u64 parsed_bytes;
  u64 protocols;
};

/* The latency bucket is part of the key: a histogram costs rows for the buckets that occur, and a
 * request costs one update. */
struct request {
  u64 flow;
  u64 name;
  u64 host;
  u16 latency_bucket;
  u16 code;
  u16 kind;
  u8 protocol;
  u8 operation;
  u8 outcome;
  u8 reserved[7];
};

struct request_counts {
  u64 count;
  u64 sum_ns;
};

/* A connection that was open before the agent: who opened it, from /proc. */
struct tuple {
  u64 local_address[2];
  u64 peer_address[2];
  u16 local_port;
  u16 peer_port;
  u32 reserved;
};

/* Announcements. The first member tells which it is. */
enum announcement { SEEN_FLOW = 1, SEEN_NAME = 2, SEEN_LISTENER = 3, SEEN_DNS = 4 };

struct flow_seen {
  u32 what;
  u32 process_id;
  u64 id;
  u64 time_ns;
  struct flow flow;
};

#define NAME_BYTES 128
struct name_seen {
  u32 what;
  u16 kind;
  u16 length;
  u64 id;
  u64 flow;
  u8 text[NAME_BYTES];
};

struct listener_seen {
  u32 what;
  u32 process_id;
  u64 cgroup_id;
  u64 netns_cookie;
  u64 time_ns;
  u64 address[2];
  char command[16];
  u16 port;
  u8 transport;
  u8 reserved[5];
};

#define DNS_BYTES 512
struct dns_seen {
  u32 what;
  u32 length;
  u64 flow;
  u64 time_ns;
  u8 message[DNS_BYTES];
};

/* A DNS query that waits for its answer. Read by the agent: an old one timed out. */
struct dns_query_key {
  u64 flow;
  u64 name;
  u64 socket;              /* cookie */
  u32 peer_port;           /* tells the clients of a server apart that use one id at once */
  u16 id;
  u16 kind;
};

struct dns_query {
  u64 first_ns;
  u64 last_ns;
  u64 count;               /* the same query sent again is a query */
};

/* A connect that has begun and has not sent its SYN. Read by the agent: an old one had no route. */
struct connecting {
  u64 time_ns;
  u32 process_id;
  u32 reserved;
  struct flow flow;        /* without a local address: the kernel has chosen none */
};

struct name_budget_key {
  u64 cgroup_id;
  u64 kind;
};
