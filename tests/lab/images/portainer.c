/*
 * A stand-in for Portainer 2.21.4 and its agent: answers the few requests that
 * setting it up takes, as the real one does, and manages nothing.
 *
 * portainer: HTTP on port 9000, HTTPS with a certificate of its own on 9443.
 * Keeps the administrator in /data/portainer.db and, like the real one, closes
 * its API if there is none after five minutes.
 * agent: HTTPS on port 9001, answers /ping.
 */
#define _GNU_SOURCE /* strcasestr */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define STATE "/data/portainer.db"
#define VERSION "{\"Version\":\"2.21.4\",\"InstanceID\":\"5a2d2f3c-0000-4000-8000-000000000143\"}"
#define SETUP_SECONDS 300
#define SHORTEST_PASSWORD 12

enum role { SERVER, AGENT };
static time_t started;

static void fail(const char *what) {
    fprintf(stderr, "FATAL %s: %s\n", what, strerror(errno));
    exit(1);
}

/* The administrator: one line with the name, one with the password. */

static int have_admin(void) { return access(STATE, F_OK) == 0; }

/* Returns 0 if there is one already. */
static int create_admin(const char *name, const char *password) {
    char temp[64];
    snprintf(temp, sizeof temp, STATE ".%d", (int)getpid());
    FILE *f = fopen(temp, "w");
    if (!f) fail(temp);
    fprintf(f, "%s\n%s\n", name, password);
    fflush(f);
    fsync(fileno(f));
    fclose(f);
    int made = link(temp, STATE) == 0; /* a whole file or none */
    unlink(temp);
    return made;
}

static void read_line(FILE *f, char *line, int size) {
    if (!fgets(line, size, f)) *line = 0;
    line[strcspn(line, "\r\n")] = 0;
}

static int is_admin(const char *name, const char *password) {
    char n[256], p[256];
    FILE *f = fopen(STATE, "r");
    if (!f) return 0;
    read_line(f, n, sizeof n);
    read_line(f, p, sizeof p);
    fclose(f);
    return strcmp(n, name) == 0 && strcmp(p, password) == 0;
}

static void admin_from_file(const char *path) {
    char password[256];
    FILE *f = fopen(path, "r");
    if (!f) fail(path);
    read_line(f, password, sizeof password);
    fclose(f);
    if (!have_admin()) create_admin("admin", password);
}

/* Copies the string member `key` of the JSON text; empty if there is none. */
static void member(const char *json, const char *key, char *out, int size) {
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\"", key);
    *out = 0;
    const char *at = strcasestr(json, quoted);
    if (!at) return;
    at += strlen(quoted);
    at += strspn(at, " \t\r\n:");
    if (*at++ != '"') return;
    while (*at && *at != '"' && size > 1) {
        if (*at == '\\' && at[1]) at++;
        *out++ = *at++;
        size--;
    }
    *out = 0;
}

/* One connection, with or without TLS. */

struct link { int fd; SSL *ssl; };

static int receive(struct link *l, char *to, int size) {
    return l->ssl ? SSL_read(l->ssl, to, size) : (int)read(l->fd, to, size);
}

static void transmit(struct link *l, const char *text, int size) {
    int sent = l->ssl ? SSL_write(l->ssl, text, size) : (int)write(l->fd, text, size);
    (void)sent; /* whoever went away needs no answer */
}

static void answer(struct link *l, const char *status, const char *extra, const char *type, const char *body) {
    char text[4096];
    int size = snprintf(text, sizeof text,
        "HTTP/1.1 %s\r\n%sContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
        status, extra, type, strlen(body), body);
    transmit(l, text, size);
}

static void json(struct link *l, const char *status, const char *body) {
    answer(l, status, "", "application/json", body);
}

static void message(struct link *l, const char *status, const char *text, const char *details) {
    char body[512];
    snprintf(body, sizeof body, "{\"message\":\"%s\",\"details\":\"%s\"}", text, details);
    json(l, status, body);
}

static void init_admin(struct link *l, const char *body) {
    char name[256], password[256], user[512];
    member(body, "Username", name, sizeof name);
    member(body, "Password", password, sizeof password);
    if (!*name || !*password)
        return message(l, "400 Bad Request", "Invalid request payload", "Invalid username or password");
    if (have_admin())
        return message(l, "409 Conflict", "Unable to create administrator user", "An administrator user already exists");
    if (strlen(password) < SHORTEST_PASSWORD)
        return message(l, "400 Bad Request", "Password does not meet the requirements", "Password does not meet the minimum strength requirements");
    if (!create_admin(name, password))
        return message(l, "409 Conflict", "Unable to create administrator user", "An administrator user already exists");
    snprintf(user, sizeof user, "{\"Id\":1,\"Username\":\"%s\",\"Role\":1}", name);
    json(l, "200 OK", user);
}

static void log_in(struct link *l, const char *body) {
    char name[256], password[256];
    member(body, "Username", name, sizeof name);
    member(body, "Password", password, sizeof password);
    if (is_admin(name, password)) json(l, "200 OK", "{\"jwt\":\"stand.in.token\"}");
    else message(l, "422 Unprocessable Entity", "Invalid credentials", "Unauthorized");
}

static void route(struct link *l, enum role role, const char *method, const char *path, const char *body) {
    int get = !strcmp(method, "GET") || !strcmp(method, "HEAD"), post = !strcmp(method, "POST");
    if (role == AGENT) {
        if (get && !strcmp(path, "/ping")) answer(l, "204 No Content", "Portainer-Agent: 2.21.4\r\n", "text/plain", "");
        else message(l, "403 Forbidden", "Missing request signature headers", "Unauthorized");
        return;
    }
    if (!strncmp(path, "/api", 4) && strcmp(path, "/api/status") && !have_admin() &&
        time(NULL) - started > SETUP_SECONDS)
        return answer(l, "303 See Other", "redirect-reason: AdminInitTimeout\r\n", "application/json",
            "{\"message\":\"Administrator initialization timeout\",\"details\":\"Administrator initialization timeout\"}");
    if (get && !strcmp(path, "/"))
        return answer(l, "200 OK", "", "text/html", "<!doctype html><title>Portainer</title><h1>Portainer stand-in</h1>\n");
    if (get && (!strcmp(path, "/api/status") || !strcmp(path, "/api/system/status")))
        return json(l, "200 OK", VERSION);
    if (get && !strcmp(path, "/api/users/admin/check")) {
        if (have_admin()) answer(l, "204 No Content", "", "application/json", "");
        else message(l, "404 Not Found", "No administrator account found inside the database", "object not found inside the database");
        return;
    }
    if (post && !strcmp(path, "/api/users/admin/init")) return init_admin(l, body);
    if (post && !strcmp(path, "/api/auth")) return log_in(l, body);
    message(l, "404 Not Found", "Not part of the stand-in", path[0] == '/' ? "unknown path" : "bad request");
}

static void serve(struct link *l, enum role role) {
    char text[16384], method[8] = "", path[256] = "";
    int size = 0, got;
    char *body = NULL;
    alarm(10);
    while (size < (int)sizeof text - 1 && (got = receive(l, text + size, sizeof text - 1 - size)) > 0) {
        size += got;
        text[size] = 0;
        if (!(body = strstr(text, "\r\n\r\n"))) continue;
        body += 4;
        char *length = strcasestr(text, "\r\nContent-Length:");
        int wanted = length && length < body ? atoi(length + 17) : 0;
        if (text + size - body >= wanted) break;
    }
    if (!body) return;
    sscanf(text, "%7s %255[^ ?]", method, path);
    route(l, role, method, path, body);
    fprintf(stderr, "%s %s\n", method, path);
}

/* A fresh key and a certificate signed with it. */
static SSL_CTX *tls(void) {
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    X509_set_version(cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 5L * 365 * 24 * 3600);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC, (const unsigned char *)"0.0.0.0", -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    X509_sign(cert, key, EVP_sha256());
    if (SSL_CTX_use_certificate(ctx, cert) != 1 || SSL_CTX_use_PrivateKey(ctx, key) != 1) fail("certificate");
    return ctx;
}

static int listen_on(int port) {
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 16)) fail("listen");
    return fd;
}

static void end(int signal) { (void)signal; _exit(0); }

int main(int count, char **arguments) {
    const char *base = strrchr(arguments[0], '/');
    enum role role = !strcmp(base ? base + 1 : arguments[0], "agent") ? AGENT : SERVER;
    const char *option = "--admin-password-file";
    started = time(NULL);
    signal(SIGTERM, end); /* process 1 has no default for it */
    signal(SIGINT, end);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_IGN);
    if (role == SERVER) mkdir("/data", 0700);
    for (int i = 1; i < count; i++) { /* all other options are ignored */
        if (!strcmp(arguments[i], option) && i + 1 < count) admin_from_file(arguments[++i]);
        else if (!strncmp(arguments[i], option, strlen(option)) && arguments[i][strlen(option)] == '=')
            admin_from_file(arguments[i] + strlen(option) + 1);
    }
    SSL_CTX *ctx = tls();
    struct pollfd ports[2] = {{listen_on(role == AGENT ? 9001 : 9443), POLLIN, 0}, {-1, POLLIN, 0}};
    if (role == SERVER) ports[1].fd = listen_on(9000);
    fprintf(stderr, "%s stand-in 2.21.4 listens\n", role == AGENT ? "agent" : "portainer");
    for (;;) {
        if (poll(ports, 2, -1) < 0) continue;
        for (int i = 0; i < 2; i++) {
            if (!(ports[i].revents & POLLIN)) continue;
            struct link l = {accept(ports[i].fd, NULL, NULL), NULL};
            if (l.fd < 0) continue;
            if (fork() == 0) {
                if (i == 0) {
                    alarm(10);
                    l.ssl = SSL_new(ctx);
                    SSL_set_fd(l.ssl, l.fd);
                    if (SSL_accept(l.ssl) != 1) _exit(1);
                }
                serve(&l, role);
                if (l.ssl) SSL_shutdown(l.ssl);
                _exit(0);
            }
            close(l.fd);
        }
    }
}
