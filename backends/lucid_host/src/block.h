// What `module.cpp` asks of `block.cpp`, which is compiled once for each instruction set.
#pragma once

#include <stddef.h>

// Elements in a row of memory, or, without data, one number for all of them.
struct Operand {
    const void *data;
    ptrdiff_t stride; // from one to the next, in elements
    double number;
    char kind; // a letter of Python's struct module
};

struct Block {
    Operand x, y, w, v; // input, target, weight, pos_weight
    Operand upstream;   // what the derivatives are multiplied by
    double divisor;     // and divided by
    void *losses, *slopes; // of x's kind, or nullptr
    size_t size;

    bool logits;    // which of the two losses
    bool add;       // whether to add the losses up
    bool ignores;   // whether a target that equals `ignored` is left out
    bool by_weight; // whether weights are counted, not elements
    double ignored, smoothing;
    double most;   // bounds a term of the loss from probabilities
    double eps;    // where a probability is clipped; 0 for nowhere
    double lowest; // bounds the divisor of a derivative

    double sum, sum_lost; // of the losses, and what its rounding has lost
    double count, count_lost;
};
