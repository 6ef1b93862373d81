/* relay NAMESPACE DEVICE NAMESPACE DEVICE: a bad wire between two network namespaces.
 *
 * Makes a TAP device in each and passes Ethernet frames between them. Of those with TCP it loses some, says some
 * twice, and holds some back until one to eight later ones have passed, or for a time. It does so by lines on its
 * input: loss, reordering and duplication in millionths, how long at most in microseconds, and a seed. Each line
 * is answered by what happened since the last one: passed, lost, held back, said twice. It ends with its input. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define FRAME_BYTES 2048
#define HELD_FRAMES 64
#define FRAMES_AT_ONCE 32
#define MILLION 1000000

struct held {
  int length;       /* 0: free */
  int passes;       /* of later frames, until it goes on */
  long until_us;
  char frame[FRAME_BYTES];
};

static struct { unsigned loss, reordering, duplication; long hold_us; unsigned long long random; } wire = { .random = 1 };
static struct { unsigned long passed, lost, held, doubled; } seen;
static struct held held[2][HELD_FRAMES];
static int devices[2];

static void fail(const char *what) {
  fprintf(stderr, "relay: %s: %s\n", what, strerror(errno));
  exit(1);
}

static unsigned below(unsigned limit) {
  wire.random ^= wire.random << 13;
  wire.random ^= wire.random >> 7;
  wire.random ^= wire.random << 17;
  return (wire.random >> 20) % limit;
}

static int chance(unsigned millionths) {
  return below(MILLION) < millionths;
}

static long now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * MILLION + now.tv_nsec / 1000;
}

static int open_device(const char *namespace, const char *name) {
  struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI };
  int inside = open(namespace, O_RDONLY);
  if (inside < 0 || setns(inside, CLONE_NEWNET))
    fail(namespace);
  close(inside);
  /* The device belongs to the namespace in which this was opened. */
  int device = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  if (device < 0 || ioctl(device, TUNSETIFF, &request))
    fail(name);
  return device;
}

static int is_tcp(const unsigned char *frame, int length) {
  if (length < 54)
    return 0;
  if (frame[12] == 0x08 && frame[13] == 0x00)
    return frame[23] == 6;
  return frame[12] == 0x86 && frame[13] == 0xdd && frame[20] == 6;
}

/* A device that is full loses the frame, as a wire does; it is counted. */
static void send_on(int from, const char *frame, int length) {
  if (write(devices[!from], frame, length) != length)
    seen.lost++;
}

static void release(int from, struct held *one) {
  int length = one->length;
  one->length = 0;
  send_on(from, one->frame, length);
}

static int hold(int from, const char *frame, int length) {
  for (int i = 0; i < HELD_FRAMES; i++) {
    struct held *one = &held[from][i];
    if (one->length)
      continue;
    one->length = length;
    one->passes = 1 + below(8);
    one->until_us = now_us() + wire.hold_us;
    memcpy(one->frame, frame, length);
    seen.held++;
    return 1;
  }
  return 0;
}

static void pass(int from, const char *frame, int length) {
  seen.passed++;
  if (is_tcp((const unsigned char *)frame, length)) {
    if (chance(wire.loss)) {
      seen.lost++;
      return;
    }
    if (chance(wire.reordering) && hold(from, frame, length))
      return;
    if (chance(wire.duplication)) {
      seen.doubled++;
      send_on(from, frame, length);
    }
  }
  send_on(from, frame, length);
  for (int i = 0; i < HELD_FRAMES; i++)
    if (held[from][i].length && --held[from][i].passes <= 0)
      release(from, &held[from][i]);
}

static int release_old(void) {
  int waiting = 0;
  long now = now_us();
  for (int from = 0; from < 2; from++)
    for (int i = 0; i < HELD_FRAMES; i++)
      if (held[from][i].length && held[from][i].until_us <= now)
        release(from, &held[from][i]);
      else
        waiting |= held[from][i].length;
  return waiting;
}

static void obey(void) {
  char line[256];
  unsigned long long seed;
  ssize_t length = read(0, line, sizeof(line) - 1);
  if (length <= 0)
    exit(0);
  line[length] = 0;
  if (sscanf(line, "%u %u %u %ld %llu", &wire.loss, &wire.reordering, &wire.duplication, &wire.hold_us, &seed) != 5)
    fail("five numbers are wanted");
  wire.random = seed * 0x9e3779b97f4a7c15ULL | 1;
  printf("%lu %lu %lu %lu\n", seen.passed, seen.lost, seen.held, seen.doubled);
  fflush(stdout);
  memset(&seen, 0, sizeof(seen));
}

int main(int count, char **words) {
  char frame[FRAME_BYTES];
  if (count != 5)
    fail("NAMESPACE DEVICE NAMESPACE DEVICE");
  devices[0] = open_device(words[1], words[2]);
  devices[1] = open_device(words[3], words[4]);
  printf("ready\n");
  fflush(stdout);
  for (int waiting = 0;; waiting = release_old()) {
    struct pollfd ready[3] = { { devices[0], POLLIN, 0 }, { devices[1], POLLIN, 0 }, { 0, POLLIN, 0 } };
    poll(ready, 3, waiting ? 1 : -1);
    for (int from = 0; from < 2; from++)
      for (int i = 0, length; i < FRAMES_AT_ONCE && (length = read(devices[from], frame, sizeof(frame))) > 0; i++)
        pass(from, frame, length);
    if (ready[2].revents)
      obey();
  }
}
