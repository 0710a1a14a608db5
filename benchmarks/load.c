/* Closed-loop load on connections that are logged in already: the twin of load.run_frames.
 *
 * The load generator must not be what the server waits for: with a slow one a server sleeps and is
 * woken for every request, and what is measured is the scheduler. Compiled at run time by
 * fastload.py; knows the framing of XRootD and nothing else.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { OKSOFAR = 4000, ERROR = 4003, WAIT = 4005, BUFFER = 1 << 20, DEPTH_MAX = 64 };

struct Load { /* mirrored by fastload._Load */
    const int32_t *fds;
    int32_t connections, depth;
    const uint8_t *frames;    /* request frames one after the other */
    const uint32_t *ends;     /* end of each frame in `frames` */
    uint32_t frame_count;
    int32_t repeats;          /* start again at the end of `frames`, else stop there */
    double seconds;
    float *latencies_us;
    uint64_t latency_count;   /* room for them; later ones are counted and not kept */
    uint64_t count;           /* out: answers */
    double took;              /* out: seconds */
    uint8_t refusal[256];     /* out: the answer that was an error */
};

struct Lane {
    int fd;
    uint32_t have, open;
    uint64_t skip; /* bytes of a long body that are still to come */
    double sent[DEPTH_MAX];
    uint32_t first;
    uint8_t *buffer;
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static uint32_t next_frame;
static uint16_t next_sid;

/* Send up to `count` requests in one piece; how many there were, -1 when the connection broke. */
static int send_some(struct Load *load, struct Lane *lane, int count, double at) {
    static uint8_t out[DEPTH_MAX * 8192];
    uint32_t size = 0;
    int sent = 0;
    for (; sent < count; sent++) {
        if (next_frame == load->frame_count) {
            if (!load->repeats) break;
            next_frame = 0;
        }
        uint32_t start = next_frame ? load->ends[next_frame - 1] : 0;
        uint32_t length = load->ends[next_frame++] - start;
        if (size + length > sizeof out) return -1;
        memcpy(out + size, load->frames + start, length);
        next_sid++;
        out[size] = next_sid >> 8;
        out[size + 1] = next_sid & 0xff;
        size += length;
        lane->sent[(lane->first + lane->open) % DEPTH_MAX] = at;
        lane->open++;
    }
    for (uint32_t done = 0; done < size;) {
        ssize_t step = send(lane->fd, out + done, size - done, MSG_NOSIGNAL);
        if (step > 0) done += step;
        else if (errno != EAGAIN && errno != EINTR) return -1;
    }
    return sent;
}

static uint32_t be32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

/* Whole answers in the lane's buffer; -1 for one that is an error. Long bodies are not kept. */
static int take_answers(struct Load *load, struct Lane *lane) {
    uint32_t at = 0;
    int done = 0;
    while (lane->have - at >= 8) {
        const uint8_t *head = lane->buffer + at;
        uint32_t status = head[2] << 8 | head[3], length = be32(head + 4);
        if (status == ERROR || status == WAIT) {
            uint32_t size = lane->have - at < 255 ? lane->have - at : 255;
            memcpy(load->refusal, head, size);
            return -1;
        }
        done += status != OKSOFAR;
        at += 8;
        if (length > lane->have - at) {
            lane->skip = length - (lane->have - at);
            at = lane->have;
            if (status != OKSOFAR) done--, lane->skip |= 1ull << 63;
        } else {
            at += length;
        }
    }
    memmove(lane->buffer, lane->buffer + at, lane->have - at);
    lane->have -= at;
    return done;
}

static int receive(struct Load *load, struct Lane *lane) {
    ssize_t size = recv(lane->fd, lane->buffer + lane->have, BUFFER - lane->have, 0);
    if (size <= 0) return size < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
    int done = 0;
    uint64_t last = lane->skip >> 63, skip = lane->skip & ~(1ull << 63);
    if (skip) {
        if ((uint64_t)size < skip) {
            lane->skip -= size;
            return 0;
        }
        lane->skip = 0;
        done = last;
        lane->have = size - skip;
        memmove(lane->buffer, lane->buffer + skip, lane->have);
    } else {
        lane->have += size;
    }
    int more = take_answers(load, lane);
    return more < 0 ? -1 : done + more;
}

static int drive(struct Load *load, struct Lane *lanes, int poll) {
    struct epoll_event ready[256];
    double began = now(), end = began + load->seconds;
    uint64_t open = 0;
    for (int i = 0; i < load->connections; i++) {
        int sent = send_some(load, &lanes[i], load->depth, now());
        if (sent < 0) return -1;
        open += sent;
    }
    while (open) {
        int count = epoll_wait(poll, ready, 256, 10000);
        if (count == 0) return -1;
        for (int i = 0; i < count; i++) {
            struct Lane *lane = &lanes[ready[i].data.u32];
            int done = receive(load, lane);
            if (done < 0) return -1;
            double at = now();
            for (int k = 0; k < done; k++) {
                if (load->count < load->latency_count)
                    load->latencies_us[load->count] = (at - lane->sent[lane->first]) * 1e6;
                lane->first = (lane->first + 1) % DEPTH_MAX;
                load->count++;
            }
            lane->open -= done;
            open -= done;
            if (done && at < end) {
                int sent = send_some(load, lane, done, at);
                if (sent < 0) return -1;
                open += sent;
            }
        }
    }
    load->took = now() - began;
    return 0;
}

/* 0, or -1 when a connection broke, nothing came for ten seconds, or `refusal` says why. */
int run_load(struct Load *load) {
    if (load->depth > DEPTH_MAX) return -1;
    struct Lane *lanes = calloc(load->connections, sizeof *lanes);
    int poll = epoll_create1(0);
    for (int i = 0; i < load->connections; i++) {
        lanes[i].fd = load->fds[i];
        lanes[i].buffer = malloc(BUFFER);
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        epoll_ctl(poll, EPOLL_CTL_ADD, lanes[i].fd, &event);
    }
    next_frame = 0;
    load->count = 0;
    int result = drive(load, lanes, poll);
    close(poll);
    for (int i = 0; i < load->connections; i++) free(lanes[i].buffer);
    free(lanes);
    return result;
}
