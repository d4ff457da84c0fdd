// Takes the debug information out of a module and leaves the names of functions, which a trap is told
// by. Zig's linker takes both or none.
//
//     portcullis_strip FROM TO
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned char *octets;
static size_t size;

// LEB128; moves on.
static size_t number(size_t *at) {
    size_t value = 0;
    for (unsigned shift = 0; *at < size && shift < 35; shift += 7) {
        unsigned char octet = octets[(*at)++];
        value |= (size_t)(octet & 0x7f) << shift;
        if (octet < 0x80) return value;
    }
    fputs("no module\n", stderr);
    exit(EXIT_FAILURE);
}

static void read_all(const char *name) {
    FILE *file = fopen(name, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0) {
        perror(name);
        exit(EXIT_FAILURE);
    }
    size = (size_t)ftell(file);
    rewind(file);
    octets = malloc(size);
    if (!octets || fread(octets, 1, size, file) != size) {
        perror(name);
        exit(EXIT_FAILURE);
    }
    fclose(file);
}

int main(int count, char **arguments) {
    static const char debug[] = ".debug_";
    enum { HEADER = 8, CUSTOM = 0 };
    if (count != 3) return EXIT_FAILURE;
    read_all(arguments[1]);
    FILE *to = fopen(arguments[2], "wb");
    if (!to || size < HEADER) {
        perror(arguments[2]);
        return EXIT_FAILURE;
    }
    fwrite(octets, 1, HEADER, to);
    for (size_t at = HEADER; at < size;) {
        size_t start = at++, length = number(&at), end = at + length;
        if (length > size - at) {
            fputs("no module\n", stderr);
            return EXIT_FAILURE;
        }
        size_t name = at, name_length = octets[start] == CUSTOM ? number(&name) : 0;
        if (name_length < strlen(debug) || name_length > end - name || memcmp(octets + name, debug, strlen(debug)) != 0)
            fwrite(octets + start, 1, end - start, to);
        at = end;
    }
    return fclose(to) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
