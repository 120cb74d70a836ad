#pragma once
#include <string>
#include <utility>
#include <variant>

#include "base/assert.hpp"

namespace mwtun {

/// What went wrong in set-up, as a message a person can act on: what, where, why, how to mend it.
/// `exit_code` is what the program ends with if nothing handles the error (sysexits.h numbers).
struct Error {
  std::string message;
  int exit_code = 71;
};

/// A value or an Error. For set-up only; on the data path outcomes are enums with counters.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  T& value() {
    MWTUN_ASSERT(ok());
    return *std::get_if<0>(&state_);
  }
  const T& value() const {
    MWTUN_ASSERT(ok());
    return *std::get_if<0>(&state_);
  }
  T take() {
    MWTUN_ASSERT(ok());
    return std::move(*std::get_if<0>(&state_));
  }
  const Error& error() const {
    MWTUN_ASSERT(!ok());
    return *std::get_if<1>(&state_);
  }

 private:
  std::variant<T, Error> state_;
};

/// Nothing or an Error.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)), ok_(false) {}

  bool ok() const { return ok_; }
  explicit operator bool() const { return ok_; }
  const Error& error() const {
    MWTUN_ASSERT(!ok_);
    return error_;
  }

 private:
  Error error_;
  bool ok_ = true;
};

}  // namespace mwtun
