/* A load generator for millions: it does what its plan says, one line after the other, and counts what it did.
 *
 * burst PLAN OUT
 * A line of PLAN: ADDRESS PORT CONNECTIONS REQUESTS PER-CONNECTION DEPTH HOST PATH...
 *   PER-CONNECTION requests and it opens a new one (0: never); DEPTH requests in one write, at most 16; the paths are
 *   taken in turn. A server that closes before it has answered leaves what it was asked unanswered.
 * OUT: {"rows": [...]} in the form that load.py tells. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST_CONNECTIONS 256
#define MOST_PATHS 32
#define MOST_DEPTH 16
#define HEAD_BYTES 4096

struct plan {
  char address[64], host[64], paths[MOST_PATHS][64], texts[MOST_PATHS][256];
  int port, connections, per_connection, depth, path_count, lengths[MOST_PATHS];
  long requests;
};

struct counts {
  long requests, connections, refused, other, unanswered, bytes_sent, bytes_received, answers[MOST_PATHS][1000];
};

struct client {
  int fd, asked, done, in_flight, first, filled;
  long body;
  int paths[MOST_DEPTH];
  char head[HEAD_BYTES];
};

static struct plan plan;
static struct counts counts;
static struct client clients[MOST_CONNECTIONS];
static long left;
static int next_path, open_clients, events;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static int connected(void) {
  struct sockaddr_in six_four = { .sin_family = AF_INET, .sin_port = htons(plan.port) };
  struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(plan.port) };
  int is_six = strchr(plan.address, ':') != NULL, one = 1;
  int fd = socket(is_six ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
  if (fd < 0)
    fail("socket");
  if (inet_pton(is_six ? AF_INET6 : AF_INET, plan.address, is_six ? (void *)&six.sin6_addr : (void *)&six_four.sin_addr) != 1)
    fail(plan.address);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  if (connect(fd, is_six ? (void *)&six : (void *)&six_four, is_six ? sizeof(six) : sizeof(six_four)) == 0)
    return fd;
  if (errno == ECONNREFUSED)
    counts.refused++;
  else
    counts.other++;
  close(fd);
  return -1;
}

static void ask(struct client *c) {
  char text[MOST_DEPTH * 256];
  int size = 0, most = plan.per_connection ? plan.per_connection - c->asked : plan.depth;
  for (; c->in_flight < plan.depth && c->in_flight < most && left > 0; left--) {
    int path = next_path++ % plan.path_count;
    memcpy(text + size, plan.texts[path], plan.lengths[path]);
    size += plan.lengths[path];
    c->paths[(c->first + c->in_flight++) % MOST_DEPTH] = path;
    c->asked++;
    counts.requests++;
  }
  if (size && send(c->fd, text, size, MSG_NOSIGNAL) != size)
    fail("send");   /* so little always fits */
  counts.bytes_sent += size;
}

static void begin(struct client *c) {
  struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
  memset(c, 0, sizeof(*c));
  while (left > 0) {
    c->fd = connected();
    if (c->fd >= 0)
      break;
    left--;   /* what fails is not tried again */
  }
  if (left <= 0)
    return;
  counts.connections++;
  open_clients++;
  if (epoll_ctl(events, EPOLL_CTL_ADD, c->fd, &event))
    fail("epoll_ctl");
  ask(c);
}

static void end(struct client *c) {
  counts.unanswered += c->in_flight;
  for (; c->in_flight; c->in_flight--)
    counts.answers[c->paths[c->first++ % MOST_DEPTH]][0]++;
  close(c->fd);
  open_clients--;
  begin(c);
}

/* One head that is whole. Gives how many bytes it has, or 0. */
static int take_head(struct client *c) {
  char *end_of_head = memmem(c->head, c->filled, "\r\n\r\n", 4), *length;
  if (!end_of_head)
    return 0;
  int size = end_of_head + 4 - c->head, status = atoi(c->head + 9);
  end_of_head[2] = 0;
  length = strcasestr(c->head, "\r\nContent-Length:");
  c->body = length && status != 204 && status != 304 ? atol(length + 17) : 0;
  if (status < 100 || status > 999)
    fail("status");
  counts.answers[c->paths[c->first]][status]++;
  c->first = (c->first + 1) % MOST_DEPTH;
  c->in_flight--;
  c->done++;
  return size;
}

static void take(struct client *c, const char *data, long size) {
  while (size > 0) {
    if (c->body) {
      long skip = size < c->body ? size : c->body;
      c->body -= skip;
      data += skip;
      size -= skip;
      continue;
    }
    int before = c->filled, more = HEAD_BYTES - 1 - c->filled < size ? HEAD_BYTES - 1 - c->filled : (int)size;
    memcpy(c->head + c->filled, data, more);
    c->filled += more;
    c->head[c->filled] = 0;
    int used = take_head(c);
    if (!used) {
      if (c->filled == HEAD_BYTES - 1)
        fail("a head that is too long");
      return;
    }
    c->filled = 0;
    data += used - before;
    size -= used - before;
  }
}

static void heard(struct client *c) {
  char data[65536];
  long size = recv(c->fd, data, sizeof(data), 0);
  if (size <= 0) {
    end(c);
    return;
  }
  counts.bytes_received += size;
  take(c, data, size);
  if (c->in_flight || c->body || c->filled)
    return;
  if ((plan.per_connection && c->asked >= plan.per_connection) || left <= 0)
    end(c);
  else
    ask(c);
}

static void run(void) {
  struct epoll_event found[64];
  events = epoll_create1(0);
  left = plan.requests;
  for (int i = 0; i < plan.connections; i++)
    begin(&clients[i]);
  while (open_clients) {
    int n = epoll_wait(events, found, 64, 60000);
    if (n <= 0)
      fail("a server that is silent");
    for (int i = 0; i < n; i++)
      heard(found[i].data.ptr);
  }
  close(events);
}

static int read_line(char *line) {
  char *word = strtok(line, " \n");
  if (!word)
    return 0;
  memset(&plan, 0, sizeof(plan));
  snprintf(plan.address, sizeof(plan.address), "%s", word);
  plan.port = atoi(strtok(NULL, " \n"));
  plan.connections = atoi(strtok(NULL, " \n"));
  plan.requests = atol(strtok(NULL, " \n"));
  plan.per_connection = atoi(strtok(NULL, " \n"));
  plan.depth = atoi(strtok(NULL, " \n"));
  snprintf(plan.host, sizeof(plan.host), "%s", strtok(NULL, " \n"));
  while ((word = strtok(NULL, " \n")) && plan.path_count < MOST_PATHS) {
    int at = plan.path_count++;
    snprintf(plan.paths[at], sizeof(plan.paths[at]), "%s", word);
    plan.lengths[at] = snprintf(plan.texts[at], sizeof(plan.texts[at]), "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", word, plan.host);
  }
  return 1;
}

static void write_row(FILE *out, const char *before) {
  const char *mark = "";
  fprintf(out, "%s{\"address\": \"%s\", \"port\": %d, \"host\": \"%s\", \"protocol\": null, \"requests\": %ld, ", before, plan.address,
          plan.port, plan.host, counts.requests);
  fprintf(out, "\"connections\": %ld, \"bytes_sent\": %ld, \"bytes_received\": %ld, ", counts.connections, counts.bytes_sent,
          counts.bytes_received);
  fprintf(out, "\"unanswered\": {\"server\": %ld}, \"failed\": {\"refused\": %ld, \"other\": %ld}, \"statuses\": {", counts.unanswered,
          counts.refused, counts.other);
  for (int status = 100; status < 1000; status++) {
    long sum = 0;
    for (int i = 0; i < plan.path_count; i++)
      sum += counts.answers[i][status];
    if (sum) {
      fprintf(out, "%s\"%d\": %ld", mark, status, sum);
      mark = ", ";
    }
  }
  fprintf(out, "}, \"routes\": [");
  mark = "";
  for (int i = 0; i < plan.path_count; i++)
    for (int status = 0; status < 1000; status++)
      if (counts.answers[i][status]) {
        fprintf(out, "%s[\"GET\", \"%s\", %d, %ld]", mark, plan.paths[i], status, counts.answers[i][status]);
        mark = ", ";
      }
  fprintf(out, "]}");
}

int main(int argc, char **argv) {
  char line[4096];
  FILE *plans = argc == 3 ? fopen(argv[1], "r") : NULL, *out = argc == 3 ? fopen(argv[2], "w") : NULL;
  const char *before = "{\"rows\": [";
  if (!plans || !out)
    fail("burst PLAN OUT");
  while (fgets(line, sizeof(line), plans)) {
    if (!read_line(line))
      continue;
    memset(&counts, 0, sizeof(counts));
    run();
    write_row(out, before);
    before = ",\n";
  }
  fprintf(out, "]}\n");
  return fclose(out) != 0;
}
