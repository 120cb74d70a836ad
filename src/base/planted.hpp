#pragma once

namespace mwtun {

/// Faults that the simulation suite can plant in the core, to prove that its oracle would find
/// them. Each is guarded in place by `if (planted(Fault::x))`.
enum class Fault {
  none,
  window_off_by_one,               ///< the replay window takes a number it should refuse
  commit_before_authentication,    ///< state changes before the tag has been checked
  number_reused_after_send_error,  ///< a datagram the socket refused gives its number back
  sequence_before_aqm,             ///< lane sequences are given before the queue may drop the frame
  lane_released_at_proof,          ///< a proven hole releases its lane instead of starting repair
  lost_timer,                      ///< a deadline is left out of poll_timeout()
  stale_key_epoch,                 ///< keys go on being used past their hard stop
  ack_credited_to_another_link,    ///< an acknowledgement counts for a link it does not name
  lane_reused_early,               ///< a lane gets a new flow before its floor is acknowledged
  old_fragment_accepted,           ///< a fragment below the lane's floor takes part in reassembly
};

#ifdef MWTUN_PLANTED_FAULTS

/// The fault planted in this process. Only in the library variants the simulation suite builds.
inline Fault& planted_fault() {
  static Fault fault = Fault::none;
  return fault;
}

inline bool planted(Fault fault) {
  return planted_fault() == fault;
}

#else

/// In ordinary builds no fault is planted and the guards vanish.
constexpr bool planted(Fault) {
  return false;
}

#endif

}  // namespace mwtun
