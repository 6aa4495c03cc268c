/* sluice: a gateway that pools a team's provider accounts behind one endpoint. */
#include <signal.h>
#include <sys/stat.h>

#include "app.h"

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    (void)umask(S_IRWXG | S_IRWXO); /* whatever is made is ours alone */
    mem_init();
    crypto_init();
    return cli_main(argc, argv, &APP_HOOKS);
}
