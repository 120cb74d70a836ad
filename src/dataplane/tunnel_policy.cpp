// What the control side may change about a link while it runs.
#include "dataplane/tunnel.hpp"

namespace mwtun {

void Tunnel::set_link_role(LinkId id, LinkRole role, Instant now) {
  Link* l = index_of(id) < links_max ? link(id) : nullptr;
  if (l == nullptr || !config_.initiator) return;
  if (l->config.role != role) {
    l->config.role = role;
    views_stale_ = true;
  }
  // A link that is still being joined tells it anyway.
  if (session_ && l->has_path && l->validated) l->want_join = true;
  after_input(now);
}

}  // namespace mwtun
