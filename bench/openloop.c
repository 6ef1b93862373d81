/* HTTP requests at a fixed rate, whatever becomes of the answers: a closed loop would ask less of a slow server.
 *
 * openloop RATE SLOT_MS ROUNDS CONNECTIONS PORT TRACED PLAIN
 *
 * Two servers are asked by turns, each at the whole rate. A round is three slots in random order: one of the traced server,
 * two of the plain one, so that plain can be held against plain. What disturbs the machine meets all three alike, for a
 * slot is short. Prints a line for each round: the p99 of its three slots in nanoseconds, the traced one's first.
 *
 * A latency counts from the moment when its request was due, so that waiting for a free connection is in it. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { TRACED, PLAIN, PLAIN_AGAIN, KINDS };

static const char REQUEST[] = "GET / HTTP/1.1\r\nHost: open.example\r\n\r\n";
struct connection { int socket; int64_t due_ns; size_t got; };
struct server { int epoll; struct connection *connections; int *idle, idle_count; };
static int64_t *latencies;   /* of one slot */
static size_t answer_bytes;

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void ask(struct connection *c, int64_t due_ns) {
  c->due_ns = due_ns;
  c->got = 0;
  if (write(c->socket, REQUEST, sizeof(REQUEST) - 1) != sizeof(REQUEST) - 1)
    fail("write");
}

/* Whether an answer is whole. All are of one length. */
static int receive(struct connection *c) {
  char bytes[4096];
  ssize_t n = read(c->socket, bytes, sizeof(bytes));
  if (n <= 0)
    fail("read");
  c->got += n;
  if (!answer_bytes)
    answer_bytes = n;   /* the first is awaited alone */
  return c->got >= answer_bytes;
}

static int open_connection(int epoll, const char *address, int port, int which) {
  struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
  struct epoll_event event = { .events = EPOLLIN, .data.u32 = which };
  int one = 1, s = socket(AF_INET, SOCK_STREAM, 0);
  inet_pton(AF_INET, address, &to.sin_addr);
  if (s < 0 || connect(s, (struct sockaddr *)&to, sizeof(to)))
    fail("connect");
  setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, s, &event))
    fail("epoll_ctl");
  return s;
}

static void open_server(struct server *server, const char *address, int port, int size) {
  server->epoll = epoll_create1(0);
  server->connections = calloc(size, sizeof(*server->connections));
  server->idle = calloc(size, sizeof(*server->idle));
  for (int i = 0; i < size; i++)
    server->connections[i].socket = open_connection(server->epoll, address, port, server->idle[server->idle_count++] = i);
  ask(&server->connections[0], 0);
  while (!receive(&server->connections[0]))
    ;
}

static int by_size(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return x < y ? -1 : x > y;
}

/* Asks at the rate for as long as a slot is, and takes all answers. Gives the p99. */
static int64_t slot(struct server *server, int64_t rate, int64_t total) {
  int64_t begin_ns = now_ns() + 1000000, asked = 0, done = 0;
  while (done < total) {
    struct epoll_event events[64];
    int64_t wait_ns = begin_ns + asked * 1000000000 / rate - now_ns();
    if (asked == total || !server->idle_count || wait_ns > 100000000)
      wait_ns = 100000000;
    struct timespec wait = { 0, wait_ns > 0 ? wait_ns : 0 };
    int ready = epoll_pwait2(server->epoll, events, 64, &wait, NULL);
    for (int i = 0; i < ready; i++) {
      int which = events[i].data.u32;
      if (!receive(&server->connections[which]))
        continue;
      latencies[done++] = now_ns() - server->connections[which].due_ns;
      server->idle[server->idle_count++] = which;
    }
    for (int64_t now = now_ns(); asked < total && server->idle_count; asked++) {
      int64_t due_ns = begin_ns + asked * 1000000000 / rate;
      if (due_ns > now)
        break;
      ask(&server->connections[server->idle[--server->idle_count]], due_ns);
    }
  }
  qsort(latencies, total, sizeof(*latencies), by_size);
  return latencies[total * 99 / 100];
}

static void round_of_slots(struct server servers[2], int64_t rate, int64_t total) {
  int order[KINDS] = { TRACED, PLAIN, PLAIN_AGAIN };
  for (int i = KINDS - 1; i > 0; i--) {
    int other = rand() % (i + 1), kept = order[i];
    order[i] = order[other];
    order[other] = kept;
  }
  int64_t p99_ns[KINDS];
  for (int i = 0; i < KINDS; i++) {
    p99_ns[order[i]] = slot(&servers[order[i] != TRACED], rate, total);
  }
  printf("%ld %ld %ld\n", p99_ns[TRACED], p99_ns[PLAIN], p99_ns[PLAIN_AGAIN]);
}

int main(int count, char **words) {
  if (count != 8)
    return 2;
  struct server servers[2] = { 0 };
  int64_t rate = atoll(words[1]), total = rate * atoll(words[2]) / 1000;
  int rounds = atoi(words[3]), size = atoi(words[4]), port = atoi(words[5]);
  srand(now_ns());
  prctl(PR_SET_TIMERSLACK, 1);
  latencies = calloc(total, sizeof(*latencies));
  open_server(&servers[0], words[6], port, size);
  open_server(&servers[1], words[7], port, size);
  for (int i = 0; i < rounds; i++)
    round_of_slots(servers, rate, total);
  return 0;
}
