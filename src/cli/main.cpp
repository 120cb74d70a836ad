#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <new>

#include "cli/commands/commands.hpp"
#include "cli/config_values.hpp"
#include "cli/exit_codes.hpp"

namespace mwtun {

namespace {

constexpr const char* version_line = "mwtun " MWTUN_VERSION "\n";

constexpr std::string_view commands[] = {"genkey", "pubkey", "genpsk",  "client", "server",
                                         "status", "check",  "version", "demo",   "help"};

constexpr const char* footer =
    "Exit codes: 0 done; status --check: 1 degraded, 2 down; 64 usage, 69 not running or "
    "unreachable,\n"
    "70 bug, 71 refused by the system, 75 timed out, 77 not permitted, 78 configuration.\n"
    "Manual: man mwtun";

struct Options {
  std::string key_file;
  std::string file;
  std::string topic;
  StatusOptions status;
};

void describe(CLI::App& app, Options& options) {
  app.footer(footer);
  app.require_subcommand(0, 1);
  app.set_help_flag("-h,--help", "This text");
  app.set_version_flag("--version", "mwtun " MWTUN_VERSION, "The version");

  app.add_subcommand("genkey", "Make a private key; public half: mwtun pubkey")
      ->add_option("FILE", options.key_file, "New file, mode 0600; default: standard output");
  app.add_subcommand("pubkey", "Private key on standard input, public key on standard output");
  app.add_subcommand("genpsk", "Make a preshared key for one pair of ends")
      ->add_option("FILE", options.key_file, "New file, mode 0600; default: standard output");
  app.add_subcommand("client", "Run the tunnel: the end that connects. Foreground; SIGTERM ends it")
      ->add_option("FILE", options.file, "Configuration")
      ->required();
  app.add_subcommand("server", "Run the tunnel: the end that listens. Foreground; SIGTERM ends it")
      ->add_option("FILE", options.file, "Configuration")
      ->required();

  CLI::App* status = app.add_subcommand("status", "How a running tunnel and its links are doing");
  status->add_option("FILE", options.status.target,
                     "Its configuration, or its name; default: the only one");
  status->add_option("--socket", options.status.socket, "Its control socket");
  status->add_flag("--json", options.status.json, "One line of JSON, schema 1");
  CLI::Option* check = status->add_flag("--check", options.status.check,
                                        "One line, and exit with 0 up, 1 degraded, 2 down");
  status->add_flag("--watch", options.status.watch, "Again every second")->excludes(check);

  app.add_subcommand("check", "Check a configuration and the keys it names; nothing is started")
      ->add_option("FILE", options.file, "Configuration")
      ->required();
  app.add_subcommand("version", "Print the version");
  app.add_subcommand("demo",
                     "Two emulated lines made one, on this machine; options go to the script")
      ->prefix_command()
      ->set_help_flag();
  app.add_subcommand("help", "This text, or about one command")
      ->add_option("COMMAND", options.topic, "Which");
}

int show_help(const CLI::App& app, const std::string& topic) {
  if (topic.empty()) return write_out(app.help());
  const auto subcommands =
      app.get_subcommands([&](const CLI::App* sub) { return sub->get_name() == topic; });
  if (subcommands.empty()) {
    return report_error(
        {"there is no command " + in_quotes(topic) + did_you_mean(topic, commands), exit_usage});
  }
  return write_out(subcommands.front()->help("mwtun"));
}

int run_command(const CLI::App& app, const Options& options) {
  const std::vector<CLI::App*> chosen = app.get_subcommands();
  if (chosen.empty()) return a_tunnel_runs() ? command_status({}) : show_help(app, "");
  const std::string& name = chosen.front()->get_name();
  if (name == "genkey") return command_genkey(options.key_file);
  if (name == "genpsk") return command_genpsk(options.key_file);
  if (name == "pubkey") return command_pubkey();
  if (name == "client") return command_run(options.file, Role::client);
  if (name == "server") return command_run(options.file, Role::server);
  if (name == "status") return command_status(options.status);
  if (name == "check") return command_check(options.file);
  if (name == "version") return write_out(version_line);
  if (name == "demo") return command_demo(chosen.front()->remaining());
  return show_help(app, options.topic);
}

/// The word where a command should stand, when there is no such command.
std::string unknown_command(int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') return {};
  for (const std::string_view command : commands) {
    if (command == argv[1]) return {};
  }
  return argv[1];
}

int program(int argc, char** argv) {
  if (const std::string word = unknown_command(argc, argv); !word.empty()) {
    return report_error({"there is no command " + in_quotes(word) + did_you_mean(word, commands) +
                             "\nfor a list: mwtun help",
                         exit_usage});
  }
  CLI::App app("mwtun: several Internet lines as one Ethernet cable between two hosts", "mwtun");
  Options options;
  describe(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& request) {  // --help, --version
    return app.exit(request);
  } catch (const CLI::ParseError& problem) {
    const std::string command = argc > 1 && argv[1][0] != '-' ? std::string(" ") + argv[1] : "";
    return report_error(
        {std::string(problem.what()) + "\nhow it is used: mwtun help" + command, exit_usage});
  }
  return run_command(app, options);
}

}  // namespace

}  // namespace mwtun

int main(int argc, char** argv) {
  try {
    return mwtun::program(argc, argv);
  } catch (const std::bad_alloc&) {
    std::fputs("mwtun: out of memory\n", stderr);
    return mwtun::exit_os;
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "mwtun: bug: %s; please report it\n", problem.what());
    return mwtun::exit_bug;
  }
}
