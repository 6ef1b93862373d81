/* Every struct that crosses between the kernel's side and the agent, once. The agent learns the layout
 * from the compiler (agent/kernel/compiler.py), so nothing here has a twin in Python. Members that become
 * columns of the contract carry the contract's names.
 *
 * Addresses are two 64-bit words in network order; IPv4 is v4-mapped. Ports are in host order. */
#pragma once

/* Values of the contract (protos/plumbline/v1/flow.proto), checked against it by a test. */
enum role { ROLE_UNKNOWN = 0, ROLE_CLIENT = 1, ROLE_SERVER = 2 };
enum protocol { PROTOCOL_UNKNOWN = 0, PROTOCOL_TCP = 1, PROTOCOL_UDP = 2, PROTOCOL_HTTP = 3, PROTOCOL_DNS = 4, PROTOCOL_TLS = 5,
                PROTOCOL_QUIC = 6 };
enum outcome { OUTCOME_ANSWERED = 1, OUTCOME_UNANSWERED_CLIENT = 2, OUTCOME_UNANSWERED_SERVER = 3, OUTCOME_STREAMED = 4 };
enum name_kind { NAME_KIND_ROUTE = 1, NAME_KIND_HOST = 2, NAME_KIND_DNS = 3, NAME_KIND_TARGET = 4 };
enum { NAME_NONE = 0, NAME_OTHER = 1 };

/* Why something was not counted where it belongs. The order is the index in `losses`. */
#define LOSSES(X) \
  X(flow_table_full)      /* a new flow found no room: its counts go to the catch-all flow */ \
  X(request_rows_full)    /* no room for a row of requests, not even for (other) */ \
  X(socket_state)         /* the kernel gave no storage for a socket */ \
  X(parser_budget)        /* more parsed connections at once than budgeted: unparsed */ \
  X(parser_state)         /* the kernel gave no storage for a parser */ \
  X(early_state)          /* the kernel gave no storage for the list of a socket's early bytes */ \
  X(early_full)           /* early bytes with too many holes between them to be kept */ \
  X(early_evicted)        /* early bytes gave way to those of other sockets */ \
  X(segment_contended)    /* another CPU was too long at the same socket: a segment was counted, not read */ \
  X(ring_full)            /* an announcement found no room; it is made again */ \
  X(hello_unread)         /* a TLS hello that was not read to the name in it */ \
  X(handshake_unread)     /* how a TLS handshake ended, after bytes of it were missed */ \
  X(quic_shared)          /* another name on a socket that speaks to that address already: from there on it has none */ \
  X(http_gap)             /* bytes of a message's head were missed: requests unknown until the next boundary */ \
  X(http_lines)           /* more lines in one segment than are read at once: the rest of it was missed */ \
  X(http_requests)        /* requests whose answer could not be told from another after a gap */ \
  X(http_older)           /* on a connection older than the agent, before it was certain which answer belongs to which request */ \
  X(http_unpaired)        /* an answer whose request was not seen */ \
  X(http_pipeline)        /* more requests in flight on one connection than are followed */ \
  X(dns_in_flight_full)   /* no room to remember a query: its answer has no latency and is not counted */ \
  X(dns_unpaired)         /* an answer whose query was not seen, or had been counted as timed out */ \
  X(dns_split)            /* DNS over TCP cut in a way that is not followed */ \
  X(connecting_full)      /* a connect that may fail without a route could not be remembered */ \
  X(header_unreadable)    /* a packet's header was not in reach */ \
  X(oom_untold)           /* the end of a process for want of memory, whose announcement found no room */

/* Detail that was given up on purpose, while the sums were kept. */
#define DROPS(X) \
  X(names_beyond_budget)  /* a route, host or DNS name counted as (other) */ \
  X(budgets_full)         /* an endpoint's share was that of all those whose own there was no room to keep */ \
  X(rows_as_other)        /* a row of requests counted as (other): its endpoint had its share of rows, or all were taken */ \
  X(flows_as_other)       /* a connection counted under its endpoint's (other): it had its share of flows */ \
  X(flow_counts_as_other) /* a packet or an event counted for no flow, since too many had traffic in one interval */ \
  X(certificates_over_rate) /* pieces of TLS handshakes beyond those that are looked at in some time: no certificate was read */ \
  X(quic_over_rate)       /* datagrams of a QUIC hello beyond those that are looked at in some time: no name was read */ \
  X(names_shed)           /* a name counted as (other) to save the agent work */ \
  X(turns_shed)           /* a turn that was not timed, to save the agent work */

#define ENUM_LOSS(name) LOSS_##name,
enum loss { LOSSES(ENUM_LOSS) DROPS(ENUM_LOSS) LOSS_COUNT };

/* Written by the agent, read once a program run. */
struct control {
  u64 seed;
  u32 generation;          /* counts drains; its lowest bit: which half of the double-buffered maps this run writes */
  u32 names_epoch;         /* changes when names have been forgotten: what a connection knows of them is void then */
  u32 parser_budget;       /* parsed connections at once */
  u32 names_each_endpoint; /* that a cgroup may have of each kind of name at a time */
  u32 flows_each_endpoint; /* that a cgroup may have at a time */
  u32 rows_each_endpoint;  /* of requests, that a cgroup may have in one interval */
  u32 shed;                /* detail that is not wanted now: bits of enum shed */
  u32 inside_known;        /* the agent has told what is inside */
  u32 sk_err_offset;       /* of sk_err and its kin in struct sock, from the kernel's BTF */
  u32 sk_err_soft_offset;
  u32 sk_error_queue_offset;
  u32 queued_errno_offset; /* of the reason in a packet of that queue */
  u32 bytes_sent_offset;   /* of what TCP has sent and sent again, in struct tcp_sock */
  u32 bytes_retrans_offset;
  u32 skc_net_offset;      /* of a socket's network namespace in struct sock, and of that one's number in struct net */
  u32 inum_offset;
  u32 oom_shows_task;      /* the kernel tells of an OOM victim by its task, not by its number */
  u32 task_cgroups_offset; /* from a task to its cgroup's number, and from a cgroup to the one around it */
  u32 task_tgid_offset;
  u32 css_set_cgroup_offset;
  u32 cgroup_kn_offset;
  u32 kernfs_id_offset;    /* 0: this kernel does not say where these are */
  u32 css_parent_offset;
  u32 css_cgroup_offset;
  u64 root_cgroup_id;
};

enum shed { SHED_LATENCY = 1, SHED_NAMES = 2 };

/* What one local endpoint exchanges with one remote address, in one role, over one server's port. Its words
 * are its identity: none may be left unset.
 *
 * A peer of zero stands for many: with a port, for all clients outside; without one, for what found no room. */
struct flow {
  u64 cgroup_id;
  u64 netns_cookie;        /* each network namespace has a loopback of its own; 0 where the kernel does not tell */
  u64 local_address[2];
  u64 peer_address[2];
  u64 asked_address[2];    /* before translation; zero where it equals the peer */
  char command[16];        /* empty for cgroups that have a name */
  u64 server_name;         /* id of the name by which a client's TLS hello calls the server; 0: it said none. Of QUIC: the
                              connection's own, until the agent has read its hello */
  u16 port;
  u16 asked_port;
  u8 role;
  u8 transport;
  u16 reserved;
};

/* Two CPUs add to the row of one flow, one what is sent and the other what is received: each has a line of the cache
 * of its own. A row lies 56 bytes behind the start of a line, so the first word is in the line that a look-up reads.
 * A byte is either parsed or unparsed. */
struct flow_counts {
  u64 protocols;

  u64 unparsed_sent;
  u64 packets_sent;
  u64 parsed_sent;
  u64 connections;
  u64 closed;
  u64 retransmits;
  u32 refused;
  u32 timeout;
  u32 reset;
  u32 adopted;

  u64 unparsed_received;
  u64 packets_received;
  u64 parsed_received;
  u64 rtt_sum_us;
  u64 rtt_count;
  u32 unreachable;
  u32 other;
  u64 reserved[2];
};

enum tls_operation { TLS_ROW_HANDSHAKE, TLS_ROW_CERTIFICATE };   /* what a row of PROTOCOL_TLS is */
enum tcp_kind { TCP_TURN, TCP_CONNECT };   /* what a row of PROTOCOL_TCP is */

/* A place for a flow's counters, in an array that a program run looks into without a call. */
struct placed_counts {
  u64 flow;                /* whose they are; 0: nobody's */
  u64 reserved[6];         /* so that the counters lie as in a hash */
  struct flow_counts counts;
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

/* A row where it lies: one line of the cache. */
struct placed_row {
  struct request key;
  struct request_counts counts;
  u32 claims;              /* who adds one and reads one has it; 0: nobody has asked for it */
  u32 tag;                 /* of the key: another CPU may see its words come in any order */
};

/* A connection that was open before the agent: who opened it, from /proc. */
struct tuple {
  u64 local_address[2];
  u64 peer_address[2];
  u16 local_port;
  u16 peer_port;
  u32 network_namespace;   /* its number, as /proc shows it; 0 where the kernel does not tell where it is */
};

/* Announcements. The first member tells which it is. */
enum announcement { SEEN_FLOW = 1, SEEN_NAME = 2, SEEN_LISTENER = 3, SEEN_DNS = 4, SEEN_OOM_KILL = 5, SEEN_QUIC = 6, SEEN_SERVER_HELLO = 7 };

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

/* A datagram that may carry a piece of the hello of a client's QUIC connection. */
#define QUIC_BYTES 2048
struct quic_seen {
  u32 what;
  u32 length;
  u64 connection;
  u64 cgroup_id;
  u64 time_ns;
  u8 datagram[QUIC_BYTES];
};

/* A piece of what a server says in clear text in a TLS handshake, in the order of `sequence`. */
#define TLS_BYTES 2048
struct server_hello_seen {
  u32 what;
  u32 length;
  u64 connection;          /* its socket's cookie */
  u64 flow;
  u64 time_ns;
  u32 sequence;
  u32 number;              /* of this connection's pieces: 0 is the first */
  u8 piece[TLS_BYTES];
};

struct oom_kill {
  u32 what;
  u32 process_id;
  u64 cgroup_id;
  u64 time_ns;
};

/* A DNS query that waits for its answer. Read by the agent: an old one timed out. */
struct dns_query_key {
  u64 flow;
  u64 name;
  u64 socket;              /* cookie */
  u32 peer;                /* tells the clients of a server apart that use one id at once */
  u16 id;
  u16 kind;
};

struct dns_query {
  u64 first_ns;
  u64 last_ns;
  u64 count;               /* the same query sent again is a query */
  u64 name;                /* to count it with: the key's, or NAME_OTHER */
};

/* A connect that has begun and has not sent its SYN. Read by the agent: an old one had no route. */
struct connecting {
  u64 time_ns;
  u32 process_id;
  u32 reserved;
  struct flow flow;        /* without a local address: the kernel has chosen none */
};

/* A range of addresses, as the kernel's longest-prefix maps have it. */
struct network {
  u32 length;              /* of the prefix, in bits */
  u32 address[4];
};

/* A name that was announced: when, or NAMED once the agent has its text; and whose share it takes. */
struct name_state {
  u64 announced_ns;
  u64 cgroup_id;
  u64 kind;
};

/* What an endpoint has a share of: each kind of name, flows, rows of requests. */
enum { SHARE_OF_FLOWS = 16, SHARE_OF_ROWS = 17 };
struct share {
  u64 cgroup_id;
  u64 kind;
};
