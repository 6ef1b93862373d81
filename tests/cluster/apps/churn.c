/* What comes and goes in large numbers. Each mode says at its end, as JSON, what it has made.
 *
 * churn serve PORT                                       echoes what it hears, and answers HTTP; until it is ended
 * churn processes COUNT LISTENER_EACH ADDRESS PORT       so many processes with one connection each; each
 *                                                        LISTENER_EACH-th also listens on a port of its own
 * churn cgroups COUNT FIRST MILLISECONDS ADDRESS PORT    so many cgroups FIRSTnumber.service, each with a process that
 *                                                        has one connection and lives for at least so long
 * churn paths COUNT ADDRESS PORT                         so many requests of which no two have the same path
 * churn hold COUNT PORT                                  so many connections to itself, until it is ended
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define AT_ONCE 16
#define ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static struct sockaddr_in place(const char *address, int port) {
  struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
  if (inet_pton(AF_INET, address, &at.sin_addr) != 1)
    fail(address);
  return at;
}

static int listening(int port) {
  struct sockaddr_in at = place("0.0.0.0", port);
  int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  if (bind(listener, (void *)&at, sizeof(at)) || listen(listener, 4096))
    fail("listen");
  return listener;
}

static int connected(const char *address, int port) {
  struct sockaddr_in at = place(address, port);
  int one = 1, client = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  if (connect(client, (void *)&at, sizeof(at)))
    fail("connect");
  return client;
}

static void serve_one(int client) {
  char said[4096];
  ssize_t length = read(client, said, sizeof(said));
  if (length <= 0)
    close(client);
  else if (length > 4 && !memcmp(said, "GET ", 4))
    (void)!write(client, ANSWER, sizeof(ANSWER) - 1);
  else
    (void)!write(client, said, length);
}

static void serve(int port) {
  int listener = listening(port), waiting = epoll_create1(0);
  struct epoll_event wanted = { .events = EPOLLIN, .data.fd = listener }, ready[256];
  epoll_ctl(waiting, EPOLL_CTL_ADD, listener, &wanted);
  for (;;) {
    int count = epoll_wait(waiting, ready, 256, -1);
    for (int i = 0; i < count; i++) {
      if (ready[i].data.fd != listener) {
        serve_one(ready[i].data.fd);
        continue;
      }
      wanted.data.fd = accept(listener, 0, 0);
      if (wanted.data.fd >= 0)
        epoll_ctl(waiting, EPOLL_CTL_ADD, wanted.data.fd, &wanted);
    }
  }
}

/* One byte there, one back, and the peer has seen the end. */
static void call(const char *address, int port) {
  int client = connected(address, port);
  char byte = 'x';
  if (write(client, &byte, 1) != 1 || read(client, &byte, 1) != 1)
    fail("call");
  close(client);
}

static int failed;

static void reap(int *running, int most) {
  int status;
  while (*running > most) {
    if (wait(&status) < 0)
      fail("wait");
    failed += status != 0;
    --*running;
  }
}

static void processes(int count, int listener_each, const char *address, int port) {
  int running = 0, listeners = 0;
  for (int i = 0; i < count; i++) {
    int listens = listener_each && i % listener_each == 0;
    listeners += listens;
    reap(&running, AT_ONCE - 1);
    if (!fork()) {
      if (listens)
        listening(0);
      call(address, port);
      _exit(0);
    }
    running++;
  }
  reap(&running, 0);
  printf("{\"connections\": %d, \"listeners\": %d}\n", count - failed, listeners);
}

static void enter(const char *cgroup) {
  char path[512];
  snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
  int file = open(path, O_WRONLY);
  if (file < 0 || write(file, "0", 1) != 1)
    fail(path);
  close(file);
}

static void live_in(const char *cgroup, int milliseconds, const char *address, int port) {
  enter(cgroup);
  call(address, port);
  usleep(1000 * milliseconds);
  _exit(0);
}

static void cgroups(int count, const char *first, int milliseconds, const char *address, int port) {
  char path[AT_ONCE][400];
  pid_t inside[AT_ONCE] = {};
  for (int i = 0; i < count + AT_ONCE; i++) {
    int slot = i % AT_ONCE, status;
    if (inside[slot]) {
      if (waitpid(inside[slot], &status, 0) < 0 || rmdir(path[slot]))
        fail(path[slot]);
      failed += status != 0;
      inside[slot] = 0;
    }
    if (i >= count)
      continue;
    snprintf(path[slot], sizeof(path[slot]), "%s%05d.service", first, i);
    if (mkdir(path[slot], 0755))
      fail(path[slot]);
    inside[slot] = fork();
    if (!inside[slot])
      live_in(path[slot], milliseconds, address, port);
  }
  printf("{\"connections\": %d}\n", count - failed);
}

/* Without digits, which would be folded. */
static void paths(int count, const char *address, int port) {
  int client = connected(address, port);
  char text[256], letters[] = "bcdfghjklmnpqrst", name[6] = {};
  for (int i = 0; i < count; i++) {
    for (int j = 0; j < 5; j++)
      name[j] = letters[i >> 4 * j & 15];
    int length = snprintf(text, sizeof(text), "GET /%s HTTP/1.1\r\nHost: h\r\n\r\n", name);
    if (write(client, text, length) != length || read(client, text, sizeof(text)) != sizeof(ANSWER) - 1)
      fail("request");
  }
  close(client);
  printf("{\"connections\": 1, \"requests\": %d}\n", count);
}

static void hold(int count, int port) {
  struct rlimit most;
  getrlimit(RLIMIT_NOFILE, &most);
  most.rlim_cur = most.rlim_max;
  setrlimit(RLIMIT_NOFILE, &most);
  int listener = listening(port);
  char byte = 'x';
  for (int i = 0; i < count; i++) {
    int client = connected("127.0.0.1", port), server = accept(listener, 0, 0);
    if (write(client, &byte, 1) != 1 || read(server, &byte, 1) != 1 || write(server, &byte, 1) != 1 || read(client, &byte, 1) != 1)
      fail("hold");
  }
  printf("{\"connections\": %d}\n", count);
  fflush(stdout);
  pause();
}

int main(int count, char **word) {
  const char *mode = count > 1 ? word[1] : "";
  int number = count > 2 ? atoi(word[2]) : 0;
  if (!strcmp(mode, "serve") && count == 3)
    serve(number);
  else if (!strcmp(mode, "processes") && count == 6)
    processes(number, atoi(word[3]), word[4], atoi(word[5]));
  else if (!strcmp(mode, "cgroups") && count == 7)
    cgroups(number, word[3], atoi(word[4]), word[5], atoi(word[6]));
  else if (!strcmp(mode, "paths") && count == 5)
    paths(number, word[3], atoi(word[4]));
  else if (!strcmp(mode, "hold") && count == 4)
    hold(number, atoi(word[3]));
  else
    return 2;
  return failed != 0;
}
