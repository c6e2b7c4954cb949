/* Answers every request with its release, its port, its user, and the file it is asked for below /data. */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void end(int signal) { _exit(signal == SIGTERM ? 0 : 1); }

int main(int count, char **words) {
    const char *text = getenv("PORT"), *release = getenv("HOIST_RELEASE");
    int port = text ? atoi(text) : 5000, yes = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
    signal(SIGTERM, end);
    signal(SIGPIPE, SIG_IGN);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&any, sizeof any) || listen(listener, 64)) {
        perror("cannot listen");
        return 1;
    }
    printf("listening on %d with %d words\n", port, count - 1);
    fflush(stdout);
    for (;;) {
        char request[4096], body[2048], head[128];
        int client = accept(listener, 0, 0), got = 0;
        if (client < 0) continue;
        while (got < (int)sizeof request - 1) {
            int more = read(client, request + got, sizeof request - 1 - got);
            if (more <= 0) break;
            got += more;
            request[got] = 0;
            if (strstr(request, "\r\n\r\n")) break;
        }
        int size = snprintf(body, sizeof body, "MESSAGE %s port %d user %d words", release ? release : "?", port, (int)getuid());
        for (int i = 1; i < count && size < 1500; i++) size += snprintf(body + size, sizeof body - size, " [%s]", words[i]);
        int length = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", size);
        if (write(client, head, length) > 0 && write(client, body, size) < 0) perror("write");
        close(client);
    }
}
