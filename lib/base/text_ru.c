#include "base/text_ru.h"

const struct text_entry text_ru[] = {
	/* bin/kmi-config.c */
	{ "NAME", { "ИМЯ" } },
	{ "VALUE", { "ЗНАЧЕНИЕ" } },
	{ "SOURCE", { "ОТКУДА" } },
	{ "default: %.*s", { "по умолчанию: %.*s" } },
	{ "allowed: %.*s", { "допустимо: %.*s" } },
	{ "unknown setting %s", { "нет настройки %s" } },
	{ "did you mean %s?", { "возможно, имелось в виду %s?" } },
	{ "kmi config lists them all", { "полный список: kmi config" } },
	{ "one setting at a time: %s", { "по одной настройке за раз: %s" } },
	{ "--json, --explain and --curl do not go together",
	  { "--json, --explain и --curl вместе не работают" } },
	{ "--curl takes no name: %s", { "с --curl имя не указывают: %s" } },
	{ "--curl shows the token: it writes to a pipe, not to a terminal",
	  { "--curl показывает токен: он пишет в канал, а не на терминал" } },
	{ "usage: kmi config [--json] [NAME]\n"
	  "       kmi config --explain [NAME]\n"
	  "       kmi config --curl | curl --config - URL\n"
	  "\n"
	  "Prints every setting with its value and where it came from; secrets are masked.\n"
	  "With a NAME (KMI_DRY_RUN, or dry_run): that value alone.\n"
	  "\n"
	  "  --json      the same for scripts\n"
	  "  --explain   what the settings mean, their defaults, and what is allowed\n"
	  "  --curl      what curl needs to be let in: the token, and a socket's path; not\n"
	  "              to a terminal\n"
	  "  -h, --help  this text\n",
	  { "использование: kmi config [--json] [ИМЯ]\n"
	    "               kmi config --explain [ИМЯ]\n"
	    "               kmi config --curl | curl --config - URL\n"
	    "\n"
	    "Показывает все настройки, их значения и откуда они взяты; секреты скрыты.\n"
	    "С ИМЕНЕМ (KMI_DRY_RUN или dry_run) — только это значение.\n"
	    "\n"
	    "  --json      то же для программ\n"
	    "  --explain   что значат настройки, значения по умолчанию и что допустимо\n"
	    "  --curl      то, с чем прокси пустит curl: токен и путь сокета; не на терминал\n"
	    "  -h, --help  эта справка\n" } },

	/* bin/kmi-doctor.c */
	{ "Settings", { "Настройки" } },
	{ "Keys", { "Ключи" } },
	{ "Proxy", { "Прокси" } },
	{ "Clients", { "Клиенты" } },
	{ "Files", { "Файлы" } },
	{ "System", { "Система" } },
	{ "ok", { "норма" } },
	{ "note", { "инфо" } },
	{ "WARN", { "важно" } },
	{ "FAIL", { "СБОЙ" } },
	{ "all is well\n", { "всё в порядке\n" } },
	{ "%lld failures, ", { "%lld сбой, ", "%lld сбоя, ", "%lld сбоев, " } },
	{ "%lld warnings\n",
	  { "%lld предупреждение\n",
	    "%lld предупреждения\n",
	    "%lld предупреждений\n" } },
	{ "correct it: nothing starts before; what follows is told as if it were not set",
	  { "исправьте: до этого ничего не запустится; дальше сказано так, будто она не задана" } },
	{ "the keys were left as they are", { "ключи оставлены как были" } },
	{ "correct the settings first, then say so again",
	  { "сначала исправьте настройки, затем повторите" } },
	{ "--recheck-keys and --clear-blocklist: one at a time",
	  { "--recheck-keys и --clear-blocklist — по одному" } },
	{ "unexpected argument: %s", { "лишний аргумент: %s" } },
	{ "usage: kmi doctor [--recheck-keys | --clear-blocklist] [--json | --plain]\n"
	  "\n"
	  "Looks for what is wrong with this setup and says what to do about it.\n"
	  "\n"
	  "  --recheck-keys     first ask the upstream about all keys, blocked ones too\n"
	  "  --clear-blocklist  first lift the blocks of all keys\n"
	  "  --json             the findings for scripts\n"
	  "  --plain            no colours\n"
	  "  -h, --help         this text\n"
	  "\n"
	  "Exit status: 0 when nothing fails (there may be warnings), 1 when something\n"
	  "does, 2 for a wrong call or setting.\n",
	  { "использование: kmi doctor [--recheck-keys | --clear-blocklist]\n"
	    "                          [--json | --plain]\n"
	    "\n"
	    "Ищет, что не в порядке, и говорит, что с этим делать.\n"
	    "\n"
	    "  --recheck-keys     сначала спросить сервер обо всех ключах, и заблокированных\n"
	    "  --clear-blocklist  сначала снять блокировки всех ключей\n"
	    "  --json             находки для программ\n"
	    "  --plain            без цвета\n"
	    "  -h, --help         эта справка\n"
	    "\n"
	    "Код завершения: 0 — сбоев нет (предупреждения возможны), 1 — есть, 2 — неверный\n"
	    "вызов или настройка.\n" } },

	/* bin/kmi-e2e.sh */
	{ "usage: kmi e2e [-n 50] [--batch 10] [--window 50] [--endpoint /models]\n"
	  "               [--min-confidence 95] [--timeout 10] [--pause 0.5]\n"
	  "               [--scheme http]\n"
	  "\n"
	  "Sends requests through the proxy, starting it if need be, and checks from the\n"
	  "trace that the keys took turns.\n"
	  "\n"
	  "  -n NUMBER               requests to send\n"
	  "  --batch NUMBER          of them at once\n"
	  "  --window NUMBER         requests at the end of the trace to judge (those sent)\n"
	  "  --endpoint PATH         what to ask for, below the base path\n"
	  "  --min-confidence NUMBER how even the distribution must be, in percent\n"
	  "  --timeout SECONDS       for each request\n"
	  "  --pause SECONDS         between batches\n"
	  "  --scheme http|https     how the proxy is called\n"
	  "  -h, --help              this text\n"
	  "\n"
	  "Exit status: 0 when the distribution is even enough, 1 when it is not or a\n"
	  "request failed, 2 for a wrong call or setting.",
	  { "использование: kmi e2e [-n 50] [--batch 10] [--window 50] [--endpoint /models]\n"
	    "                       [--min-confidence 95] [--timeout 10] [--pause 0.5]\n"
	    "                       [--scheme http]\n"
	    "\n"
	    "Шлёт запросы через прокси (если надо, запускает его) и проверяет\n"
	    "по трассировке, что ключи чередовались.\n"
	    "\n"
	    "  -n ЧИСЛО                сколько запросов\n"
	    "  --batch ЧИСЛО           по сколько сразу\n"
	    "  --window ЧИСЛО          сколько последних запросов оценить\n"
	    "  --endpoint ПУТЬ         что запрашивать, после базового пути\n"
	    "  --min-confidence ЧИСЛО  какой должна быть равномерность, в процентах\n"
	    "  --timeout СЕКУНДЫ       на каждый запрос\n"
	    "  --pause СЕКУНДЫ         между порциями\n"
	    "  --scheme http|https     как обращаться к прокси\n"
	    "  -h, --help              эта справка\n"
	    "\n"
	    "Код завершения: 0 — распределение достаточно ровное, 1 — нет или запрос не\n"
	    "удался, 2 — неверный вызов или настройка." } },
	{ "the keys did not take turns: no request was given out by rotation",
	  { "ключи не чередовались: ротация не распределила ни одного запроса" } },
	{ "were settings changed since the proxy was started? kmi proxy-restart takes them",
	  { "настройки изменились после запуска прокси? kmi proxy-restart возьмёт новые" } },
	{ "the keys did not take turns: the proxy was started without KMI_AUTO_ROTATE_ALLOWED=1",
	  { "ключи не чередовались: прокси запущен без KMI_AUTO_ROTATE_ALLOWED=1" } },
	{ "kmi proxy-restart starts it with the settings of here",
	  { "kmi proxy-restart запустит его со здешними настройками" } },
	{ "kmi e2e --help tells more", { "подробнее: kmi e2e --help" } },
	{ "%s takes a whole number from 1 to 99999, but was given \"%s\"",
	  { "%s принимает целое число от 1 до 99999, а указано «%s»" } },
	{ "%s takes a number, but was given \"%s\"", { "%s принимает число, а указано «%s»" } },
	{ "%s needs a value", { "для %s нужно значение" } },
	{ "%s takes a path that begins with /, but was given \"%s\"",
	  { "%s принимает путь, который начинается с /, а указано «%s»" } },
	{ "%s takes http or https, but was given \"%s\"",
	  { "%s принимает http или https, а указано «%s»" } },
	{ "curl is not installed", { "curl не установлен" } },
	{ "the proxy does not start", { "прокси не запускается" } },
	{ "kmi doctor looks for the cause", { "причину поищет kmi doctor" } },
	{ "%s of %s requests", { "%s запросов из %s" } },
	{ "%s requests to %s, %s answered well", { "запросов: %s, адрес %s, успешно: %s" } },
	{ "no answer", { "без ответа" } },
	{ "status %s", { "статус %s" } },
	{ "%s of %s requests failed%s", { "не удалось запросов: %s из %s%s" } },
	{ "the keys did not take turns: rotation is manual", { "ключи не чередовались: ротация ручная" } },
	{ "kmi rotate auto makes every request choose",
	  { "kmi rotate auto — и ключ выбирает каждый запрос" } },
	{ "turns are not judged: KMI_ROTATE_STRATEGY is %s",
	  { "очерёдность не оценивается: KMI_ROTATE_STRATEGY равен %s" } },
	{ "the trace shows a wrong choice", { "в трассировке есть неверный выбор" } },
	{ "kmi trace --verify tells which one", { "kmi trace --verify скажет, какой" } },
	{ "the keys did not take turns: confidence %s %%, and %s %% are asked for",
	  { "ключи не чередовались: уверенность %s %%, а требуется %s %%" } },
	{ "kmi keys tells what bars a key", { "что мешает ключу, скажет kmi keys" } },
	{ "the keys took turns: confidence %s %%", { "ключи чередовались: уверенность %s %%" } },

	/* bin/kmi-handle.c */
	{ "the listening socket named kmi-tls is no unix socket but %s",
	  { "слушающий сокет с именем kmi-tls — не unix-сокет, а %s" } },
	{ "give it a path (ListenStream=/run/...), or clients a socket of another name",
	  { "задайте ему путь (ListenStream=/run/...), а клиентам — сокет с другим именем" } },
	{ "start %s anew", { "не удалось запустить %s заново" } },
	{ "--ready-fd takes a descriptor from 3 on, but was given '%s'",
	  { "--ready-fd принимает дескриптор от 3, а указано «%s»" } },
	{ "it takes no arguments, but was given '%s'", { "аргументы не принимаются, а указано «%s»" } },
	{ "stdin is a terminal, not a connection; to start the proxy: kmi proxy",
	  { "на стандартном вводе терминал, а не соединение; чтобы запустить прокси: kmi proxy" } },
	{ "usage: kmi-handle [--ready-fd N] [--help] [--version]\n"
	  "\n"
	  "Serves one HTTP connection on stdin and stdout, or, given a listening socket as\n"
	  "fd 0 or 3, a pool of them. Settings come from KMI_* variables and files;\n"
	  "`kmi config` shows them. See kmi-handle(1).\n"
	  "\n"
	  "      --ready-fd N  the pool writes a newline there when it accepts (s6's\n"
	  "                    readiness protocol)\n"
	  "  -h, --help        this text\n",
	  { "использование: kmi-handle [--ready-fd N] [--help] [--version]\n"
	    "\n"
	    "Обслуживает одно HTTP-соединение на стандартном вводе и выводе, а получив\n"
	    "слушающий сокет как дескриптор 0 или 3 — пул соединений. Настройки берутся\n"
	    "из переменных KMI_* и файлов; их покажет `kmi config`. См. kmi-handle(1).\n"
	    "\n"
	    "      --ready-fd N  пул пишет туда перевод строки, когда готов (протокол\n"
	    "                    готовности s6)\n"
	    "  -h, --help        эта справка\n" } },

	/* bin/kmi-health.c */
	{ "quota", { "квота" } },
	{ "LABEL", { "МЕТКА" } },
	{ "STATUS", { "СТАТУС" } },
	{ "WINDOW", { "ОКНО" } },
	{ "LEFT", { "ОСТАЛОСЬ" } },
	{ "USED", { "ИЗРАСХОДОВАНО" } },
	{ "RENEWED", { "СБРОС" } },
	{ "%s: no answer of use %s: %s\n", { "%s: толкового ответа нет, %s: %s\n" } },
	{ "%s: pays by use, balance %.2f\n", { "%s: оплата по расходу, остаток %.2f\n" } },
	{ "%s: has a booster with %.15g left\n", { "%s: есть дополнительный пакет, осталось %.15g\n" } },
	{ "asked %s\n", { "опрос: %s\n" } },
	{ "never asked yet\n", { "ещё не опрашивались\n" } },
	{ "the Kimi CLI has no config: there is neither %s nor %s",
	  { "у Kimi CLI нет конфигурации: нет ни %s, ни %s" } },
	{ "the Kimi CLI is logged in there: without a key nobody can be asked; kmi rotate writes one",
	  { "в нём Kimi CLI вошёл в учётную запись: без ключа спрашивать некого; kmi rotate запишет ключ" } },
	{ "mend the file; kmi rotate writes a key of the pool into it",
	  { "исправьте файл; kmi rotate запишет в него ключ из набора" } },
	{ "kmi rotate writes one with a key of the pool", { "kmi rotate запишет её с ключом из пула" } },
	{ "asking the upstream: %zu of %zu keys", { "опрос сервера: ключей %zu из %zu" } },
	{ "none of the keys got an answer of use from the upstream",
	  { "ни для одного ключа сервер не дал толкового ответа" } },
	{ "kmi health --cached shows what each was told; kmi doctor looks for the cause",
	  { "kmi health --cached покажет, что ответили каждому; kmi doctor поищет причину" } },
	{ "no usable key file in %s", { "нет ни одного пригодного файла ключа в %s" } },
	{ "mend one of those that `kmi keys` lists as skipped",
	  { "исправьте один из тех, что `kmi keys` называет пропущенными" } },
	{ "--refresh, --cached and --current: one at a time",
	  { "--refresh, --cached и --current — по одному" } },
	{ "this is a dry run: nothing is asked of the upstream (KMI_DRY_RUN=0 goes live)",
	  { "холостой режим: к серверу никто не обращается (KMI_DRY_RUN=0 — рабочий)" } },
	{ "usage: kmi health [--refresh | --cached | --current]\n"
	  "                  [--json | --plain | --quiet]\n"
	  "\n"
	  "Shows how much of its quota each key has left and when it is renewed, the worst\n"
	  "first. Asks the upstream when what is known is older than\n"
	  "KMI_USAGE_CACHE_SECONDS.\n"
	  "\n"
	  "  --refresh   ask now, however young it is\n"
	  "  --cached    do not ask\n"
	  "  --current   only the account in the Kimi CLI's config\n"
	  "  --json      the same for scripts\n"
	  "  --plain     no colours\n"
	  "  --quiet     print nothing, ask blocked keys only now and then: for timers\n"
	  "  -h, --help  this text\n"
	  "\n"
	  "Exit status: 0 done, 1 when nothing could be learned, 2 for a wrong call or\n"
	  "setting.\n",
	  { "использование: kmi health [--refresh | --cached | --current]\n"
	    "                          [--json | --plain | --quiet]\n"
	    "\n"
	    "Показывает, сколько у каждого ключа осталось от квоты и когда она обновится;\n"
	    "худшие — первыми. Спрашивает сервер, если сведения старше\n"
	    "KMI_USAGE_CACHE_SECONDS.\n"
	    "\n"
	    "  --refresh   спросить сейчас, как бы свежи они ни были\n"
	    "  --cached    не спрашивать\n"
	    "  --current   только учётная запись из конфигурации Kimi CLI\n"
	    "  --json      то же для программ\n"
	    "  --plain     без цвета\n"
	    "  --quiet     ничего не печатать, заблокированные ключи проверять изредка:\n"
	    "              для таймеров\n"
	    "  -h, --help  эта справка\n"
	    "\n"
	    "Код завершения: 0 — готово, 1 — ничего не удалось узнать, 2 — неверный вызов\n"
	    "или настройка.\n" } },

	/* bin/kmi-keys.c */
	{ "ACCOUNT", { "УЧЁТНАЯ ЗАПИСЬ" } },
	{ "KEY", { "КЛЮЧ" } },
	{ "REASON", { "ПРИЧИНА" } },
	{ "PRIORITY", { "ПРИОРИТЕТ" } },
	{ "FILE", { "ФАЙЛ" } },
	{ "SKIPPED FILE", { "ПРОПУЩЕННЫЙ ФАЙЛ" } },
	{ "WHY", { "ПОЧЕМУ" } },
	{ "%lld keys in %s: ", { "%lld ключ в %s: ", "%lld ключа в %s: ", "%lld ключей в %s: " } },
	{ "state.json: %s", { "state.json: %s" } },
	{ "usage: kmi keys [--json | --plain]\n"
	  "\n"
	  "Lists the pool of API keys in the order it is used, with the standing of each,\n"
	  "and the key files that were skipped, with the reason. Keys are masked.\n"
	  "\n"
	  "  --json      the same for scripts\n"
	  "  --plain     no colours\n"
	  "  -h, --help  this text\n"
	  "\n"
	  "Exit status: 0 while a key is usable, 1 when none is, 2 for a wrong call or\n"
	  "setting.\n",
	  { "использование: kmi keys [--json | --plain]\n"
	    "\n"
	    "Показывает пул ключей API в том порядке, в каком он используется, и состояние\n"
	    "каждого, а также пропущенные файлы ключей с причиной. Ключи скрыты.\n"
	    "\n"
	    "  --json      то же для программ\n"
	    "  --plain     без цвета\n"
	    "  -h, --help  эта справка\n"
	    "\n"
	    "Код завершения: 0 — есть пригодный ключ, 1 — ни одного, 2 — неверный вызов\n"
	    "или настройка.\n" } },

	/* bin/kmi-kimi.c */
	{ "the proxy listens on a unix socket, which the Kimi CLI cannot call",
	  { "прокси слушает unix-сокет, а Kimi CLI так не умеет" } },
	{ "give it an address: KMI_PROXY_LISTEN=127.0.0.1:54123",
	  { "задайте ему адрес: KMI_PROXY_LISTEN=127.0.0.1:54123" } },
	{ "the proxy is not running: nobody listens on %s",
	  { "прокси не работает: на %s никто не слушает" } },
	{ "kmi proxy starts it", { "его запускает kmi proxy" } },
	{ "run %s", { "не удалось запустить %s" } },
	{ "%s: a Kimi CLI that is logged in sends its login instead of KMI_PROXY_TOKEN, and is refused; `kimi logout` ends that",
	  { "%s: Kimi CLI, в котором выполнен вход, шлёт его вместо KMI_PROXY_TOKEN и получает отказ; это снимает `kimi logout`" } },
	{ "there is no Kimi CLI in PATH: neither kimi nor kimi-cli nor kimi-code",
	  { "в PATH нет Kimi CLI: ни kimi, ни kimi-cli, ни kimi-code" } },
	{ "kimi-cli comes with Python's tools (uv tool install kimi-cli), kimi-code with npm "
	  "(@moonshot-ai/kimi-code)",
	  { "kimi-cli ставится средствами Python (uv tool install kimi-cli), kimi-code — через npm "
	    "(@moonshot-ai/kimi-code)" } },
	{ "usage: kmi kimi [--] [ARGUMENT ...]\n"
	  "\n"
	  "Runs the Kimi CLI (kimi, kimi-cli or kimi-code) through the proxy, with these\n"
	  "arguments. Its own help: kmi kimi -- --help\n"
	  "\n"
	  "Exit status: that of the Kimi CLI; 1 when there is none, or the proxy does not\n"
	  "answer; 2 for a wrong setting.\n",
	  { "использование: kmi kimi [--] [АРГУМЕНТ ...]\n"
	    "\n"
	    "Запускает Kimi CLI (kimi, kimi-cli или kimi-code) через прокси с этими\n"
	    "аргументами. Его собственная справка: kmi kimi -- --help\n"
	    "\n"
	    "Код завершения: такой же, как у Kimi CLI; 1 — его нет или прокси не отвечает;\n"
	    "2 — неверная настройка.\n" } },

	/* bin/kmi-listen.c */
	{ "it needs a program to run", { "нужна программа, которую запустить" } },
	{ "pass on the socket", { "не удалось передать сокет" } },
	{ "usage: kmi-listen PROGRAM [ARGUMENT...]\n"
	  "\n"
	  "Listens on the address of KMI_PROXY_LISTEN and runs PROGRAM with that socket as\n"
	  "descriptor 0: kmi-handle, which is a pool then, or one that keeps the socket.\n",
	  { "использование: kmi-listen ПРОГРАММА [АРГУМЕНТ...]\n"
	    "\n"
	    "Слушает адрес KMI_PROXY_LISTEN и запускает ПРОГРАММУ с этим сокетом как\n"
	    "дескриптором 0: kmi-handle (тогда он работает пулом) или ту, что хранит сокет.\n" } },

	/* bin/kmi-metrics.c */
	{ "chmod %s", { "не удалось сменить права на %s" } },
	{ "nothing is known of the keys: state.json: %s", { "о ключах ничего не известно: state.json: %s" } },
	{ "kmi doctor tells what to do about it", { "kmi doctor скажет, что с этим делать" } },
	{ "usage: kmi metrics [--output FILE]\n"
	  "\n"
	  "Prints the state of the pool as OpenMetrics text: requests and errors of each\n"
	  "key, its status, locks and quota; and what the trace adds up to.\n"
	  "\n"
	  "  --output FILE  write it there, whole or not at all, for everybody to read\n"
	  "  -h, --help     this text\n"
	  "\n"
	  "Exit status: 0 done, 1 when something could not be read or written, 2 for a\n"
	  "wrong call or setting.\n",
	  { "использование: kmi metrics [--output ФАЙЛ]\n"
	    "\n"
	    "Печатает состояние пула в формате OpenMetrics: запросы и ошибки каждого ключа,\n"
	    "его статус, блокировки и квоту; и итоги по трассе.\n"
	    "\n"
	    "  --output ФАЙЛ  записать туда, целиком или никак, с правом чтения для всех\n"
	    "  -h, --help     эта справка\n"
	    "\n"
	    "Код завершения: 0 — готово, 1 — что-то не удалось прочитать или записать,\n"
	    "2 — неверный вызов или настройка.\n" } },

	/* bin/kmi-proxy-units.c */
	{ "the machine's systemd cannot start programs from %s",
	  { "системный systemd не может запускать программы из %s" } },
	{ "sudo make install first, or give --user", { "сначала sudo make install или укажите --user" } },
	{ "systemd does not run this machine", { "этой машиной управляет не systemd" } },
	{ "kmi proxy starts a pool of its own; for s6, tcpserver and others see docs/superservers.md",
	  { "kmi proxy запускает собственный пул; про s6, tcpserver и другие см. docs/superservers.md" } },
	{ "only root may change the machine's units", { "системные юниты может менять только root" } },
	{ "sudo kmi proxy install --system, or --user for a proxy of your own",
	  { "sudo kmi proxy install --system или --user для своего прокси" } },
	{ "there is no systemd of this user to talk to", { "systemd этого пользователя недоступен" } },
	{ "log in properly (XDG_RUNTIME_DIR must be set), or loginctl enable-linger",
	  { "войдите в систему обычным образом (нужен XDG_RUNTIME_DIR) или: loginctl enable-linger" } },
	{ "  kept      %s, which somebody else wrote\n",
	  { "  оставлен  %s, его записал кто-то другой\n" } },
	{ "  wrote     %s\n", { "  записан   %s\n" } },
	{ "remove %s", { "не удалось удалить %s" } },
	{ "  removed   %s\n", { "  удалён    %s\n" } },
	{ "read %s", { "не удалось прочитать %s" } },
	{ "there is no user %s", { "нет пользователя %s" } },
	{ "give %s to the group", { "не удалось передать группе %s" } },
	{ "the user %s could not be made", { "не удалось создать пользователя %s" } },
	{ "  made      the user %s\n", { "  создан    пользователь %s\n" } },
	{ "the folders could not be made", { "не удалось создать каталоги" } },
	{ "the service will not see %s of this shell; put it into %s",
	  { "служба не увидит %s из этой оболочки; впишите в %s" } },
	{ "%s is held by the systemd of this user", { "%s держит systemd этого пользователя" } },
	{ "%s is held by the machine's systemd", { "%s держит системный systemd" } },
	{ "kmi proxy uninstall --%s, or another KMI_PROXY_LISTEN",
	  { "kmi proxy uninstall --%s или другой KMI_PROXY_LISTEN" } },
	{ "%s is held by the pool that kmi proxy started (process %ld)",
	  { "%s занят пулом, который запустил kmi proxy (процесс %ld)" } },
	{ "kmi proxy-stop, then again", { "kmi proxy-stop, затем ещё раз" } },
	{ "%s is held by process %ld (%s)", { "%s занят процессом %ld (%s)" } },
	{ "%s is held by a process of another user", { "%s занят процессом другого пользователя" } },
	{ "stop that program, or give another address with KMI_PROXY_LISTEN",
	  { "остановите эту программу или задайте другой адрес в KMI_PROXY_LISTEN" } },
	{ "systemd did not read the units again", { "systemd не перечитал юниты" } },
	{ "%s could not be stopped", { "не удалось остановить %s" } },
	{ "%s could not be started", { "не удалось запустить %s" } },
	{ "systemctl %sstatus %s tells why", { "почему, скажет systemctl %sstatus %s" } },
	{ "  running   %s, as before\n", { "  работает  %s, как и прежде\n" } },
	{ "  started   %s; it will be at every boot\n",
	  { "  запущен   %s; и при каждой загрузке тоже\n" } },
	{ "  stopped   %s\n", { "  стоп      %s\n" } },
	{ "the pool does not start", { "пул не запускается" } },
	{ "kmi proxy-logs tells why", { "почему, скажет kmi proxy-logs" } },
	{ "with a certificate and no KMI_PROXY_TLS_LISTEN, %s is to speak TLS",
	  { "сертификат задан, а KMI_PROXY_TLS_LISTEN нет: на %s должен быть TLS" } },
	{ "give --tls, or an address of its own for TLS with KMI_PROXY_TLS_LISTEN",
	  { "укажите --tls или отдельный адрес для TLS в KMI_PROXY_TLS_LISTEN" } },
	{ "--tls needs KMI_PROXY_TLS_CERT and KMI_PROXY_TLS_KEY",
	  { "для --tls нужны KMI_PROXY_TLS_CERT и KMI_PROXY_TLS_KEY" } },
	{ "kmi tls selfsigned makes a first certificate; install --system --tls does so by itself",
	  { "первый сертификат сделает kmi tls selfsigned; install --system --tls делает его сам" } },
	{ "  set       KMI_PROXY_TLS_CERT and KMI_PROXY_TLS_KEY in %s\n",
	  { "  задано    KMI_PROXY_TLS_CERT и KMI_PROXY_TLS_KEY в %s\n" } },
	{ "a first certificate could not be made", { "не удалось сделать первый сертификат" } },
	{ "kmi tls selfsigned %s %s tells why", { "причину покажет kmi tls selfsigned %s %s" } },
	{ "  made      %s, which clients are to trust, and its key\n",
	  { "  сделан    %s, которому должны доверять клиенты, и ключ к нему\n" } },
	{ "the proxy does not answer on %s", { "прокси не отвечает на %s" } },
	{ "The proxy answers on %s, started by systemd.\n",
	  { "Прокси отвечает на %s, его запускает systemd.\n" } },
	{ "It ends when you log out. To keep it: loginctl enable-linger\n",
	  { "Он завершится, когда вы выйдете. Чтобы остался: loginctl enable-linger\n" } },
	{ "systemd does not run the proxy any more. Keys, settings and state are where they were.\n",
	  { "systemd больше не запускает прокси. Ключи, настройки и состояние на прежнем месте.\n" } },
	{ "systemd did not do that with %s", { "systemd не выполнил этого с %s" } },
	{ "systemctl %sstatus %s tells why; the machine's units need root",
	  { "почему, скажет systemctl %sstatus %s; для системных юнитов нужен root" } },
	{ "The proxy runs already: systemd holds %s (%s).\n",
	  { "Прокси уже работает: %s держит systemd (%s).\n" } },
	{ "The proxy runs: systemd holds %s (%s).\n", { "Прокси работает: %s держит systemd (%s).\n" } },
	{ "The proxy does not run.\n", { "Прокси не работает.\n" } },
	{ "The proxy has stopped. At the next boot it starts again; kmi proxy uninstall ends that.\n",
	  { "Прокси остановлен. При следующей загрузке он запустится снова; отменит это kmi proxy "
	    "uninstall.\n" } },
	{ "Nothing to restart: every connection starts a new process, with the settings as they "
	  "are then.\n",
	  { "Перезапускать нечего: каждое соединение запускает новый процесс с настройками на тот "
	    "момент.\n" } },
	{ "The proxy has begun anew. Running answers end beside it, nobody was refused.\n",
	  { "Прокси начал заново. Начатые ответы доходят рядом, никто не получил отказа.\n" } },
	{ "s6 runs the proxy, and could not be asked",
	  { "прокси под управлением s6, а обратиться к нему не удалось" } },
	{ "as the user of its s6-svscan: s6-svc %s SERVICE",
	  { "от пользователя его s6-svscan: s6-svc %s СЛУЖБА" } },
	{ "The proxy runs already: s6 supervises %s (process %ld).\n",
	  { "Прокси уже работает: за %s следит s6 (процесс %ld).\n" } },
	{ "The proxy has stopped. s6-svc -u starts it again.",
	  { "Прокси остановлен. Снова его запустит s6-svc -u." } },
	{ "s6 keeps the log where its service says (log/run)",
	  { "s6 хранит журнал там, где сказано в его службе (log/run)" } },
	{ "kmi proxy-logs --app shows the log of events",
	  { "журнал событий покажет kmi proxy-logs --app" } },
	{ "The proxy has begun anew. Running answers end beside it, nobody was refused.",
	  { "Прокси начал заново. Начатые ответы доходят рядом, никто не получил отказа." } },
	{ "--user and --system are two places; give one",
	  { "--user и --system — два разных места; укажите одно" } },
	{ "usage: kmi proxy install | uninstall [--user | --system] [--pool] [--tls]\n"
	  "\n"
	  "Lets systemd run the proxy: puts the units in place, enables and starts them.\n"
	  "The socket gets the address of KMI_PROXY_LISTEN. Safe to repeat.\n"
	  "\n"
	  "      --user    in your own systemd; the default for everybody but root\n"
	  "      --system  in the machine's, as user kmi, with /etc/kmi/kmi.env; needs root\n"
	  "      --pool    warm handlers instead of one process a connection: faster\n"
	  "      --tls     kmi-tls as well, with KMI_PROXY_TLS_CERT and KMI_PROXY_TLS_KEY; with\n"
	  "                --system a first pair is made where none is set\n"
	  "  -h, --help    this text\n",
	  { "использование: kmi proxy install | uninstall [--user | --system] [--pool] [--tls]\n"
	    "\n"
	    "Поручает прокси systemd: ставит юниты на место, включает и запускает их. Сокет\n"
	    "получает адрес из KMI_PROXY_LISTEN. Повторять можно.\n"
	    "\n"
	    "      --user    в вашем собственном systemd; так по умолчанию для всех, кроме root\n"
	    "      --system  в системном, от пользователя kmi, с /etc/kmi/kmi.env; нужен root\n"
	    "      --pool    прогретые обработчики вместо процесса на соединение: быстрее\n"
	    "      --tls     и kmi-tls тоже, с KMI_PROXY_TLS_CERT и KMI_PROXY_TLS_KEY; с --system\n"
	    "                первая пара делается сама, если не задана\n"
	    "  -h, --help    эта справка\n" } },

	/* bin/kmi-proxy.c */
	{ "  address   unix:%s, base path %s\n", { "  адрес     unix:%s, базовый путь %s\n" } },
	{ "  address   %s://%s%s%s:%d%s\n", { "  адрес     %s://%s%s%s:%d%s\n" } },
	{ "The proxy runs (process %ld).\n", { "Прокси работает (процесс %ld).\n" } },
	{ "  mode      %s\n", { "  режим     %s\n" } },
	{ "dry run: nothing is sent upstream; KMI_DRY_RUN=0 goes live",
	  { "холостой: на сервер ничего не уходит; рабочий — KMI_DRY_RUN=0" } },
	{ "live", { "рабочий" } },
	{ "  keys      none: %s\n", { "  ключи     нет: %s\n" } },
	{ "make room or give leave there, or name another folder in KMI_STATE_DIR",
	  { "освободите там место, дайте права или укажите другой каталог в KMI_STATE_DIR" } },
	{ "  change it kmi proxy-restart\n", { "  изменить  kmi proxy-restart\n" } },
	{ "  keys      %zu usable in %s, skipped files: %zu\n",
	  { "  ключи     пригодных: %zu, каталог %s, пропущено файлов: %zu\n" } },
	{ "  stop it   kmi proxy-stop\n", { "  стоп      kmi proxy-stop\n" } },
	{ "The proxy runs already (process %ld).\n", { "Прокси уже работает (процесс %ld).\n" } },
	{ "fork", { "не удалось создать процесс" } },
	{ "its last words are in %s", { "его последние сообщения — в %s" } },
	{ "a process", { "процесс" } },
	{ "%s is held by %s %ld, which kmi proxy did not start",
	  { "%s занят: %s %ld, его запустил не kmi proxy" } },
	{ "stop it by the means that started it", { "остановите его тем же способом, каким он запущен" } },
	{ "end process %ld", { "не удалось завершить процесс %ld" } },
	{ "process %ld still finishes its answers", { "процесс %ld ещё заканчивает ответы" } },
	{ "wait, or end it at once with kmi proxy-stop -f",
	  { "подождите или завершите сразу: kmi proxy-stop -f" } },
	{ "The proxy has stopped.\n", { "Прокси остановлен.\n" } },
	{ "it is written when `kmi proxy` starts the proxy",
	  { "он появляется, когда прокси запущен через `kmi proxy`" } },
	{ "run tail", { "не удалось запустить tail" } },
	{ "--lines takes a number, but was given '%s'", { "--lines принимает число, а указано «%s»" } },
	{ "usage: kmi proxy [--foreground]\n"
	  "       kmi proxy-stop [-y] [-f]\n"
	  "       kmi proxy-restart\n"
	  "       kmi proxy-logs [--no-follow] [--lines N] [--app] [--since 10m]\n"
	  "       kmi proxy install | uninstall [--user | --system] [--pool] [--tls]\n"
	  "\n"
	  "Starts the proxy on the address of KMI_PROXY_LISTEN, in the background unless\n"
	  "told otherwise; stops it, letting running answers finish; shows what it said.\n"
	  "Where systemd or s6 runs it, they are asked to do that. `install` leaves it to\n"
	  "systemd: kmi proxy install --help tells more.\n"
	  "\n"
	  "      --foreground  stay, with messages on stderr\n"
	  "  -y, --yes         do not ask\n"
	  "  -f, --force       end it at once when it does not end by itself\n"
	  "      --no-follow   show the last lines and end\n"
	  "      --lines N     how many (20)\n"
	  "      --app         the log of events, kmi.log\n"
	  "      --since TIME  what is younger than that: 90s, 10m, 2h, 3d, 1w, or a time\n"
	  "  -h, --help        this text\n",
	  { "использование: kmi proxy [--foreground]\n"
	    "               kmi proxy-stop [-y] [-f]\n"
	    "               kmi proxy-restart\n"
	    "               kmi proxy-logs [--no-follow] [--lines N] [--app] [--since 10m]\n"
	    "               kmi proxy install | uninstall [--user | --system] [--pool]\n"
	    "                   [--tls]\n"
	    "\n"
	    "Запускает прокси по адресу KMI_PROXY_LISTEN, в фоне, если не велено иначе;\n"
	    "останавливает его, дав начатым ответам закончиться; показывает его сообщения.\n"
	    "Если им управляет systemd или s6, просит об этом их. `install` поручает прокси\n"
	    "systemd: подробнее kmi proxy install --help.\n"
	    "\n"
	    "      --foreground  не уходить в фон, сообщения — в stderr\n"
	    "  -y, --yes         не спрашивать\n"
	    "  -f, --force       завершить сразу, если сам не завершается\n"
	    "      --no-follow   показать последние строки и закончить\n"
	    "      --lines N     сколько строк (20)\n"
	    "      --app         журнал событий, kmi.log\n"
	    "      --since СРОК  только то, что новее: 90s, 10m, 2h, 3d, 1w или время\n"
	    "  -h, --help        эта справка\n" } },

	/* bin/kmi-rotate.c */
	{ "none", { "нет" } },
	{ "unknown", { "неизвестно" } },
	{ "no key is fit", { "пригодных ключей нет" } },
	{ "it is the only one that is fit", { "пригоден только он" } },
	{ "kmi rotate --to %s writes it once that is mended", { "когда это исправлено, его запишет kmi rotate --to %s" } },
	{ "it cannot serve now (%s); until it can, the next one that is fit does",
	  { "сейчас он работать не может (%s); до тех пор работает следующий пригодный" } },
	{ "take KMI_KEY_DISABLED out of %s", { "уберите KMI_KEY_DISABLED из %s" } },
	{ "the Kimi CLI is logged in: until `kimi logout` it does not use this key",
	  { "в Kimi CLI выполнен вход: до `kimi logout` этот ключ ему не нужен" } },
	{ "the key that was active is no longer in the pool", { "прежнего активного ключа в пуле больше нет" } },
	{ "rotation is automatic, but it did not pass the test",
	  { "ротация автоматическая, но проверку она не прошла" } },
	{ "kmi e2e repeats it, kmi rotate off goes back to manual rotation",
	  { "kmi e2e повторит проверку, kmi rotate off вернёт ручную ротацию" } },
	{ "%s cannot serve now", { "%s сейчас работать не может" } },
	{ "%s is %s, %s is %s", { "%s — %s, %s — %s" } },
	{ "%s has more of its quota left: %s against %s of %s",
	  { "у %s осталось больше квоты: %s против %s у %s" } },
	{ "%s has fewer errors: %d in 100 requests against %d of %s",
	  { "у %s меньше ошибок: %d на 100 запросов против %d у %s" } },
	{ "%s is no better", { "%s не лучше" } },
	{ "it is as good as %s, and it is its turn", { "он не хуже %s, и теперь его очередь" } },
	{ "LAST USED", { "ЗАПРОС" } },
	{ "ERRORS", { "ОШИБКИ" } },
	{ "%s stays the active key", { "%s остаётся активным ключом" } },
	{ "%s is the active key now", { "%s теперь активный ключ" } },
	{ "%s stays the active key: %s", { "%s остаётся активным ключом: %s" } },
	{ "%s is the active key now: %s", { "%s теперь активный ключ: %s" } },
	{ "written into %s", { "записан в %s" } },
	{ "%s has it already", { "в %s он уже есть" } },
	{ "others could read %s; it is its owner's alone now",
	  { "%s могли читать другие; теперь его читает только владелец" } },
	{ "this is a dry run: the Kimi CLI's config is left alone\n",
	  { "холостой режим: конфигурация Kimi CLI не тронута\n" } },
	{ "rotation is automatic: it counts once that is off (kmi rotate off)\n",
	  { "ротация автоматическая: выбор начнёт действовать, когда её выключат (kmi rotate off)\n" } },
	{ "no key is called %s", { "ключа с меткой %s нет" } },
	{ "%s is disabled by its file", { "%s отключён в своём файле" } },
	{ "no key is fit to serve now", { "сейчас работать не может ни один ключ" } },
	{ "kmi keys tells why and until when; kmi unlock LABEL lifts a lock",
	  { "kmi keys скажет почему и до каких пор; kmi unlock МЕТКА снимет блокировку" } },
	{ "%s is left as it was: %s", { "%s оставлен как был: %s" } },
	{ "automatic rotation is not allowed here", { "авторотация здесь не разрешена" } },
	{ "KMI_AUTO_ROTATE_ALLOWED=1 in the environment, or auto_rotate_allowed = true in kmi.config.toml, allows it; to the "
	  "proxy, too",
	  { "её разрешает KMI_AUTO_ROTATE_ALLOWED=1 в окружении или auto_rotate_allowed = true в kmi.config.toml; прокси "
	    "тоже" } },
	{ "rotation is automatic: every request takes the next key",
	  { "ротация автоматическая: каждый запрос берёт следующий ключ" } },
	{ "rotation is manual: the active key serves while it is fit",
	  { "ротация ручная: активный ключ работает, пока пригоден" } },
	{ "auto and off: one at a time", { "auto и off — по одному" } },
	{ "%s and --to do not go together", { "%s и --to вместе не работают" } },
	{ "usage: kmi rotate [--to LABEL] [--json | --plain]\n"
	  "       kmi rotate auto | off [--json]\n"
	  "\n"
	  "Makes the key that serves best the active one: by status, by what is left of its\n"
	  "quota, by its errors; where these tie, the next one in turn (KMI_ROTATE_ON_TIE).\n"
	  "Then writes it into the Kimi CLI's config (KMI_WRITE_CONFIG; not in dry run).\n"
	  "\n"
	  "  auto        from now on every request takes the next key, if that is allowed\n"
	  "              (KMI_AUTO_ROTATE_ALLOWED); kmi e2e tries it (KMI_AUTO_ROTATE_E2E)\n"
	  "  off         no longer: the active key serves while it is fit\n"
	  "  --to LABEL  this key and no other\n"
	  "  --json      what was done, for scripts\n"
	  "  --plain     no colours\n"
	  "  -h, --help  this text\n"
	  "\n"
	  "Exit status: 0 done, 1 when it could not be, 2 for a wrong call or setting.\n",
	  { "использование: kmi rotate [--to МЕТКА] [--json | --plain]\n"
	    "               kmi rotate auto | off [--json]\n"
	    "\n"
	    "Делает активным лучший ключ: по статусу, по остатку квоты, по ошибкам; при\n"
	    "равенстве — следующий по очереди (KMI_ROTATE_ON_TIE). Затем записывает его\n"
	    "в конфигурацию Kimi CLI (KMI_WRITE_CONFIG; не в холостом режиме).\n"
	    "\n"
	    "  auto        отныне каждый запрос берёт следующий ключ, если это разрешено\n"
	    "              (KMI_AUTO_ROTATE_ALLOWED); kmi e2e это проверит\n"
	    "              (KMI_AUTO_ROTATE_E2E)\n"
	    "  off         больше нет: активный ключ работает, пока пригоден\n"
	    "  --to МЕТКА  этот ключ, и никакой другой\n"
	    "  --json      что сделано, для программ\n"
	    "  --plain     без цвета\n"
	    "  -h, --help  эта справка\n"
	    "\n"
	    "Код завершения: 0 — готово, 1 — не удалось, 2 — неверный вызов или настройка.\n" } },

	/* bin/kmi-status.c */
	{ "%lld usable", { "%lld пригоден", "%lld пригодны", "%lld пригодно" } },
	{ "see kmi proxy-logs", { "см. kmi proxy-logs" } },
	{ "the proxy (process %ld) runs, but nobody listens on %s",
	  { "прокси (процесс %ld) работает, но на %s никто не слушает" } },
	{ "stop it, or choose another KMI_PROXY_LISTEN",
	  { "остановите её или выберите другой KMI_PROXY_LISTEN" } },
	{ "the proxy was started with other settings than those of here: %s",
	  { "прокси запущен с другими настройками, чем здесь: %s" } },
	{ "KMI_STATE_DIR=%s kmi proxy-stop stops it", { "остановит его KMI_STATE_DIR=%s kmi proxy-stop" } },
	{ "kmi proxy-restart takes those of here; ~/.kmi/kmi.config.toml keeps them",
	  { "kmi proxy-restart возьмёт здешние; чтобы они остались: ~/.kmi/kmi.config.toml" } },
	{ "%s is held by another program: %s (process %ld)",
	  { "%s занят другой программой: %s (процесс %ld)" } },
	{ "kmi keys tells why; kmi unlock lifts a lock by hand",
	  { "kmi keys скажет почему; kmi unlock снимет блокировку вручную" } },
	{ "no key can be used now; next one free: %s",
	  { "сейчас нет пригодных ключей; ближайший освободится: %s" } },
	{ "kmi keys tells why", { "kmi keys скажет почему" } },
	{ "%lld key files are skipped",
	  { "%lld файл ключа пропущен",
	    "%lld файла ключей пропущены",
	    "%lld файлов ключей пропущено" } },
	{ "kmi doctor tells more", { "подробнее: kmi doctor" } },
	{ "set KMI_AUTO_ROTATE_ALLOWED=1, or run kmi rotate off",
	  { "задайте KMI_AUTO_ROTATE_ALLOWED=1 или выполните kmi rotate off" } },
	{ "auto-rotation is switched on but not allowed: the active key serves alone",
	  { "авторотация включена, но не разрешена: работает только активный ключ" } },
	{ "proxy", { "прокси" } },
	{ "not running", { "не работает" } },
	{ " (it would listen on %s)\n", { " (слушал бы %s)\n" } },
	{ "not ours", { "не наш" } },
	{ "running", { "работает" } },
	{ ", by systemd for this user (%s)", { ", через systemd этого пользователя (%s)" } },
	{ ", by systemd (%s)", { ", через systemd (%s)" } },
	{ ", process %ld", { ", процесс %ld" } },
	{ "keys", { "ключи" } },
	{ "every request takes the next key", { "каждый запрос берёт следующий ключ" } },
	{ "a conversation stays with its key", { "разговор остаётся на своём ключе" } },
	{ "the key with most quota left", { "ключ с наибольшим остатком квоты" } },
	{ "rotation", { "ротация" } },
	{ "automatic: %s", { "автоматическая: %s" } },
	{ "manual: the active key serves while it is fit",
	  { "ручная: активный ключ работает, пока пригоден" } },
	{ "mode", { "режим" } },
	{ "dry run: no request leaves this machine", { "холостой: запросы не покидают эту машину" } },
	{ "upstream", { "сервер" } },
	{ "active", { "активный" } },
	{ "last asked: %s\n", { "последний опрос: %s\n" } },
	{ "attention", { "внимание" } },
	{ "usage: kmi status [--json | --plain]\n"
	  "\n"
	  "Shows the mode, whether the proxy runs and where, the keys, the rotation, and\n"
	  "what needs attention.\n"
	  "\n"
	  "  --json      the same for scripts\n"
	  "  --plain     no colours\n"
	  "  -h, --help  this text\n",
	  { "использование: kmi status [--json | --plain]\n"
	    "\n"
	    "Показывает режим, работает ли прокси и где, ключи, ротацию и то, что требует\n"
	    "внимания.\n"
	    "\n"
	    "  --json      то же для программ\n"
	    "  --plain     без цвета\n"
	    "  -h, --help  эта справка\n" } },

	/* bin/kmi-text.c */
	{ "it needs a text", { "нужен текст" } },

	/* bin/kmi-tls-selfsigned.c */
	{ "run openssl", { "не удалось запустить openssl" } },
	{ "openssl cannot be run; it is in the package of that name",
	  { "openssl не запускается; он в одноимённом пакете" } },
	{ "openssl could not make the certificate", { "openssl не смог создать сертификат" } },
	{ "pipe", { "не удалось создать канал" } },
	{ "certificate and key need two files", { "сертификату и ключу нужны два файла" } },
	{ "%s is there already", { "%s уже есть" } },
	{ "kmi tls --check looks at it; --force replaces it, and clients must then be given the new one",
	  { "kmi tls --check его проверит; --force заменит, но тогда новый надо раздать клиентам" } },
	{ "the path of a file is too long", { "путь к файлу слишком длинный" } },
	{ "put %s in its place", { "не удалось поставить %s на место" } },
	{ "  certificate  %s, which clients are to trust\n",
	  { "  сертификат   %s, ему должны доверять клиенты\n" } },
	{ "  key          %s, which stays here\n", { "  ключ         %s, он остаётся здесь\n" } },
	{ "valid for", { "действует для" } },
	{ "\n"
	  "Set them in ~/.kmi/kmi.config.toml (variables: KMI_ before, all capitals):\n",
	  { "\n"
	    "Укажите их в ~/.kmi/kmi.config.toml (переменные: с KMI_, заглавными):\n" } },
	{ "Give each client a copy of the certificate, and let it trust that:\n",
	  { "Дайте каждому клиенту копию сертификата и велите ему доверять:\n" } },
	{ "--days takes a number from 1 to 36500, but was given '%s'",
	  { "--days принимает число от 1 до 36500, а указано «%s»" } },
	{ "--name takes a host name or an address, but was given '%s'",
	  { "--name принимает имя узла или адрес, а указано «%s»" } },
	{ "it takes two files, for the certificate and for the key, or none",
	  { "нужны два файла, для сертификата и для ключа, или ни одного" } },
	{ "usage: kmi tls selfsigned [--days N] [--name NAME]... [--force] [CERT KEY]\n"
	  "\n"
	  "Makes a key and a self-signed certificate for the names and addresses of this\n"
	  "machine, in the files of KMI_PROXY_TLS_CERT and KMI_PROXY_TLS_KEY, else in\n"
	  "~/.kmi/tls.\n"
	  "\n"
	  "      --days N     how long it is valid (825)\n"
	  "      --name NAME  a further name or address by which clients reach this machine\n"
	  "      --force      replace files that are there\n"
	  "  -h, --help       this text\n",
	  { "использование: kmi tls selfsigned [--days N] [--name ИМЯ]... [--force]\n"
	    "                                  [СЕРТИФИКАТ КЛЮЧ]\n"
	    "\n"
	    "Создаёт ключ и самоподписанный сертификат на имена и адреса этой машины в файлах\n"
	    "KMI_PROXY_TLS_CERT и KMI_PROXY_TLS_KEY, а если они не заданы — в ~/.kmi/tls.\n"
	    "\n"
	    "      --days N     на сколько дней (825)\n"
	    "      --name ИМЯ   ещё имя или адрес, по которому к машине обращаются клиенты\n"
	    "      --force      заменить файлы, если они есть\n"
	    "  -h, --help       эта справка\n" } },

	/* bin/kmi-tls.c */
	{ "  certificate  %s\n", { "  сертификат   %s\n" } },
	{ "  key          %s\n", { "  ключ         %s\n" } },
	{ "  kind         %s\n", { "  вид          %s\n" } },
	{ "  chain        %d\n", { "  цепочка      %d\n" } },
	{ "  valid from   %s\n", { "  действует с  %s\n" } },
	{ "  valid until  %s\n", { "  до           %s\n" } },
	{ "TLS on %s (%s); Ctrl-C ends it\n", { "TLS на %s (%s); Ctrl-C завершит\n" } },
	{ "unknown command %s", { "неизвестная команда %s" } },
	{ "usage: kmi tls [--check] [--help] [--version]\n"
	  "       kmi tls selfsigned [--days N] [--name NAME]... [--force] [CERT KEY]\n"
	  "\n"
	  "Serves TLS with KMI_PROXY_TLS_CERT and KMI_PROXY_TLS_KEY, on the address of\n"
	  "KMI_PROXY_TLS_LISTEN or on a socket that a superserver gives, and hands what it\n"
	  "decrypts to kmi-handle. `selfsigned` makes a first certificate.\n"
	  "\n"
	  "      --check    say whether certificate and key can be used, and until when\n"
	  "  -h, --help     this text\n",
	  { "использование: kmi tls [--check] [--help] [--version]\n"
	    "               kmi tls selfsigned [--days N] [--name ИМЯ]... [--force]\n"
	    "                   [СЕРТИФИКАТ КЛЮЧ]\n"
	    "\n"
	    "Обслуживает TLS с KMI_PROXY_TLS_CERT и KMI_PROXY_TLS_KEY по адресу\n"
	    "KMI_PROXY_TLS_LISTEN или на сокете от суперсервера и передаёт расшифрованное\n"
	    "в kmi-handle. `selfsigned` создаёт первый сертификат.\n"
	    "\n"
	    "      --check    сказать, годны ли сертификат и ключ и до какого срока\n"
	    "  -h, --help     эта справка\n" } },

	/* bin/kmi-trace.c */
	{ "no request was of a key %s; did you mean %s?",
	  { "запросов с ключом %s нет; возможно, имелся в виду %s?" } },
	{ "no request was of a key %s", { "запросов с ключом %s нет" } },
	{ "--all and --lines are two answers; give one", { "--all и --lines — два ответа; укажите один" } },
	{ "--verify is about the whole trace: %s does not go with it",
	  { "--verify проверяет всю трассировку: %s с ним не сочетается" } },
	{ "--why is about one request: %s does not go with it",
	  { "--why рассказывает об одном запросе: %s с ним не сочетается" } },
	{ "--summary is about all requests, or with --window N the last N: %s does not go with it",
	  { "--summary подводит итог по всем запросам, а с --window N — по последним N: %s с ним не сочетается" } },
	{ "%lld lines of the trace cannot be read and are passed over",
	  { "%lld строка трассировки не читается и пропущена",
	    "%lld строки трассировки не читаются и пропущены",
	    "%lld строк трассировки не читаются и пропущены" } },
	{ "no request in the trace has an id that begins with %.40s",
	  { "в трассировке нет запроса, чей id начинается с %.40s" } },
	{ "kmi trace --json shows ids; a client finds its own in the header X-KMI-Request-Id",
	  { "id покажет kmi trace --json; клиент найдёт свой в заголовке X-KMI-Request-Id" } },
	{ "more than one request has an id that begins with %.40s",
	  { "id, начинающийся с %.40s, есть не у одного запроса" } },
	{ "give more of it", { "укажите больше знаков" } },
	{ "%s %.40s: a whole number from 0 to %lld is wanted",
	  { "%s %.40s: нужно целое число от 0 до %lld" } },
	{ "--summary, --verify and --why are three questions; ask one",
	  { "--summary, --verify и --why — три разных вопроса; задайте один" } },
	{ "--why %.40s: an id has 32 hex digits; give at least the first four",
	  { "--why %.40s: в id 32 шестнадцатеричные цифры; укажите хотя бы первые четыре" } },
	{ "--status %.40s: write a status as 429 or 4xx, or one of: error, none",
	  { "--status %.40s: статус пишут как 429 или 4xx либо error, none" } },
	{ "usage: kmi trace [--lines N | --all] [--since TIME] [--key LABEL]\n"
	  "                 [--status STATUS] [--follow | --no-follow] [--window N]\n"
	  "                 [--json | --plain]\n"
	  "       kmi trace --summary [--since TIME] [--key LABEL] [--status STATUS]\n"
	  "                 [--window N] [--json | --plain]\n"
	  "       kmi trace --verify [--json]\n"
	  "       kmi trace --why ID [--json | --plain]\n"
	  "\n"
	  "Shows the requests that kmi served: on a terminal a live screen, else line by\n"
	  "line as they end.\n"
	  "\n"
	  "  -n, --lines N    begin with the last N lines (20)\n"
	  "      --all        begin with all there are\n"
	  "      --since TIME only what ended since: 10m, 2h, 1d, 2026-01-31,\n"
	  "                   2026-01-31T10:00:00Z\n"
	  "      --key LABEL  only requests that this key answered or was tried for\n"
	  "      --status S   only this status: 429, 4xx, error, none\n"
	  "  -f, --follow     line by line, also on a terminal\n"
	  "      --no-follow  print what there is, and end\n"
	  "      --window N   figures are of the last N requests (live: 200; summary: all)\n"
	  "      --summary    totals, latency, and how fairly keys were chosen\n"
	  "      --verify     recompute every choice from the trace; exit 1 if one is wrong\n"
	  "      --why ID     the story of one request; the beginning of its id is enough\n"
	  "      --json       lines as they are in the trace, or the figures, for scripts\n"
	  "      --plain      no colours and no screen\n"
	  "  -h, --help       this text\n",
	  { "использование: kmi trace [--lines N | --all] [--since СРОК] [--key МЕТКА]\n"
	    "                   [--status СТАТУС] [--follow | --no-follow] [--window N]\n"
	    "                   [--json | --plain]\n"
	    "               kmi trace --summary [--since СРОК] [--key МЕТКА]\n"
	    "                   [--status СТАТУС] [--window N] [--json | --plain]\n"
	    "               kmi trace --verify [--json]\n"
	    "               kmi trace --why ID [--json | --plain]\n"
	    "\n"
	    "Показывает запросы, которые обслужил kmi: на терминале — живой экран, иначе\n"
	    "строка за строкой по мере завершения.\n"
	    "\n"
	    "  -n, --lines N    начать с последних N строк (20)\n"
	    "      --all        начать со всех, что есть\n"
	    "      --since СРОК только завершённые с тех пор: 10m, 2h, 1d, 2026-01-31,\n"
	    "                   2026-01-31T10:00:00Z\n"
	    "      --key МЕТКА  только запросы, на которые ответил или для которых был\n"
	    "                   испробован этот ключ\n"
	    "      --status С   только этот статус: 429, 4xx, error, none\n"
	    "  -f, --follow     строка за строкой, и на терминале тоже\n"
	    "      --no-follow  напечатать, что есть, и закончить\n"
	    "      --window N   показатели по последним N запросам (экран: 200; сводка: все)\n"
	    "      --summary    итоги, задержки и насколько поровну выбирались ключи\n"
	    "      --verify     проверить каждый выбор по трассировке; 1, если есть неверный\n"
	    "      --why ID     история одного запроса; достаточно начала id\n"
	    "      --json       строки как в трассировке или показатели, для программ\n"
	    "      --plain      без цвета и без экрана\n"
	    "  -h, --help       эта справка\n" } },

	/* bin/kmi-unlock.c */
	{ "%s: unlocked (%s); it was barred until somebody unlocks it\n",
	  { "%s: блокировка снята (%s); сама она не кончилась бы\n" } },
	{ "%s: unlocked (%s); it would have been free %s\n",
	  { "%s: блокировка снята (%s); сама она кончилась бы %s\n" } },
	{ "nobody noted why", { "причина не записана" } },
	{ "nothing was locked\n", { "блокировок не было\n" } },
	{ "--all and a label do not go together: %s", { "--all и метка вместе не работают: %s" } },
	{ "which key? Give its label, or --all", { "какой ключ? Укажите метку или --all" } },
	{ "usage: kmi unlock [--json] LABEL ... | --all\n"
	  "\n"
	  "Lifts the locks of keys at once: limits, payment and refused credentials. Keys\n"
	  "of one account share their locks, and are freed together.\n"
	  "\n"
	  "  --all       all keys\n"
	  "  --json      what was lifted, for scripts\n"
	  "  -h, --help  this text\n"
	  "\n"
	  "Exit status: 0 done (also when there was no lock), 1 when it could not be, 2 for\n"
	  "a wrong call or setting.\n",
	  { "использование: kmi unlock [--json] МЕТКА ... | --all\n"
	    "\n"
	    "Сразу снимает блокировки ключей: из-за лимитов, оплаты и непринятых ключей.\n"
	    "У ключей одной учётной записи блокировки общие и снимаются вместе.\n"
	    "\n"
	    "  --all       все ключи\n"
	    "  --json      что снято, для программ\n"
	    "  -h, --help  эта справка\n"
	    "\n"
	    "Код завершения: 0 — готово (и если блокировок не было), 1 — не удалось,\n"
	    "2 — неверный вызов или настройка.\n" } },

	/* bin/kmi.c */
	{ "type %s", { "наберите %s" } },
	{ "type %s or %s", { "наберите %s или %s" } },
	{ "start the proxy in the background", { "запустить прокси в фоне" } },
	{ "stop it; running answers are finished", { "остановить его; начатые ответы будут закончены" } },
	{ "start it anew; no client is refused", { "запустить заново; ни один клиент не получит отказа" } },
	{ "what it said", { "его сообщения" } },
	{ "let systemd start it; proxy uninstall takes that back",
	  { "запускать его через systemd; proxy uninstall отменяет" } },
	{ "how things stand, on one page", { "состояние дел на одной странице" } },
	{ "every key, and the files that give none", { "все ключи и файлы, которые ключа не дали" } },
	{ "every setting, its value and where it came from",
	  { "все настройки, их значения и откуда они" } },
	{ "choose another key by hand, or let every request choose",
	  { "выбрать другой ключ вручную или доверить выбор запросам" } },
	{ "what is left of each account's quota", { "сколько осталось от квоты каждой учётной записи" } },
	{ "who was used when, and why", { "какой ключ работал, когда и почему" } },
	{ "lift a lock by hand", { "снять блокировку вручную" } },
	{ "what is wrong, and what to do", { "что не в порядке и что делать" } },
	{ "try the whole way with real requests", { "проверить весь путь настоящими запросами" } },
	{ "run the Kimi CLI through the proxy", { "запустить Kimi CLI через прокси" } },
	{ "figures for a monitoring system", { "показатели для системы мониторинга" } },
	{ "speak TLS in front of the proxy", { "обслуживать TLS перед прокси" } },
	{ "%s and %s are two modes; give one", { "%s и %s — два режима; укажите один" } },
	{ "%s takes no arguments, but was given '%s'", { "%s не принимает аргументов, а указано «%s»" } },
	{ "%s needs the command %s, which is not installed",
	  { "для %s нужна команда %s, она не установлена" } },
	{ "usage: kmi [--plain | --no-color] COMMAND [ARGUMENT...]\n"
	  "       kmi --rotate | --auto-rotate | --trace | --all | --health | --current |\n"
	  "           --status\n"
	  "       kmi --help | --version\n"
	  "\n"
	  "Pools several Kimi API keys behind one local address.\n"
	  "\n",
	  { "использование: kmi [--plain | --no-color] КОМАНДА [АРГУМЕНТ...]\n"
	    "               kmi --rotate | --auto-rotate | --trace | --all | --health |\n"
	    "                   --current | --status\n"
	    "               kmi --help | --version\n"
	    "\n"
	    "Собирает несколько ключей API Kimi за одним локальным адресом.\n"
	    "\n" } },
	{ "\n"
	  "  --plain, --no-color  plain text from any command, or only no colours\n"
	  "  --rotate and others  what the older tool called its commands; one at a time\n"
	  "\n"
	  "`kmi COMMAND --help` and kmi-COMMAND(1) tell more. First steps: kmi(1).\n",
	  { "\n"
	    "  --plain, --no-color  простой текст от любой команды или только без цвета\n"
	    "  --rotate и другие    так команды назывались в прежней программе; по одному\n"
	    "\n"
	    "Подробнее: `kmi КОМАНДА --help` и kmi-КОМАНДА(1). Первые шаги: kmi(1).\n" } },

	/* lib/base/bind.c */
	{ "%s is in use", { "%s уже занят" } },
	{ "%s is held by a process of yours that hides what it has open, as kmi-tls does",
	  { "%s занят вашим процессом, который скрывает свои открытые файлы, как kmi-tls" } },
	{ "stop that program, or give another address with %s",
	  { "остановите эту программу или задайте другой адрес в %s" } },
	{ "%s: the path of a unix socket has at most %zu bytes",
	  { "%s: путь unix-сокета не длиннее %zu байт" } },
	{ "socket", { "не удалось создать сокет" } },
	{ "bind %s", { "не удалось занять адрес %s" } },
	{ "listen on %s", { "не удалось начать слушать %s" } },

	/* lib/base/config.c */
	{ "%s, line %d", { "%s, строка %d" } },
	{ "%s%s (%.*s) is no setting; did you mean %s%.*s?",
	  { "нет настройки %s%s (%.*s); возможно, имелось в виду %s%.*s?" } },
	{ "%s%s (%.*s) is no setting", { "нет настройки %s%s (%.*s)" } },
	{ "more unknown names are not listed", { "остальные неизвестные имена не показаны" } },
	{ "the file of KMI_ENV_PATH: %s", { "файл из KMI_ENV_PATH: %s" } },
	{ "%.*s (command line) is no setting", { "нет настройки %.*s (командная строка)" } },
	{ "%s is %s (%s); allowed: %s", { "%s имеет значение %s (%s); допустимо: %s" } },
	{ "to have the default, take the variable away",
	  { "чтобы действовало значение по умолчанию, уберите переменную" } },
	{ "KMI_PROXY_TOKEN and KMI_PROXY_TOKEN_FILE are both set: which one counts?",
	  { "заданы и KMI_PROXY_TOKEN, и KMI_PROXY_TOKEN_FILE: который верен?" } },
	{ "KMI_PROXY_TOKEN_FILE: %s", { "KMI_PROXY_TOKEN_FILE: %s" } },
	{ "KMI_PROXY_TOKEN_FILE: there is no token in %s", { "KMI_PROXY_TOKEN_FILE: в %s нет токена" } },
	{ "KMI_PROXY_TOKEN_FILE: what %s holds is no token: visible ASCII without blanks",
	  { "KMI_PROXY_TOKEN_FILE: в %s не токен: нужен видимый ASCII без пробелов" } },
	{ "default", { "по умолчанию" } },
	{ "environment", { "окружение" } },
	{ "command line", { "командная строка" } },
	{ "the URL %s", { "URL %s" } },
	{ "the host %.*s is not in KMI_UPSTREAM_ALLOWLIST", { "узла %.*s нет в KMI_UPSTREAM_ALLOWLIST" } },

	/* lib/base/dotenv.c */
	{ "line %d: %s", { "строка %d: %s" } },
	{ "the quote is not closed", { "кавычка не закрыта" } },
	{ "the value expands to more than can be kept", { "после подстановки значение слишком велико" } },
	{ "a quoted name is empty or not closed", { "имя в кавычках пустое или не закрыто" } },
	{ "a name is missing before \"=\"", { "перед «=» нет имени" } },
	{ "something stands after the closing quote", { "лишний текст после закрывающей кавычки" } },
	{ "not NAME=value", { "это не ИМЯ=значение" } },
	{ "line %d: not UTF-8 text", { "строка %d: текст не в UTF-8" } },
	{ "line %d: a NUL byte", { "строка %d: нулевой байт" } },

	/* lib/base/endpoint.c */
	{ "must start with https://", { "должен начинаться с https://" } },
	{ "must not have a query or fragment", { "не должен содержать запроса (?) и фрагмента (#)" } },
	{ "must not have a user or password in it", { "не должен содержать имени пользователя и пароля" } },
	{ "has no well-formed host and port", { "не содержит правильных узла и порта" } },
	{ "has a path that is not plain", { "содержит недопустимый путь" } },

	/* lib/base/fail.c */
	{ "out of memory", { "не хватает памяти" } },

	/* lib/base/file.c */
	{ "stat %s", { "не удалось узнать сведения о %s" } },
	{ "%s is not a regular file", { "%s — не обычный файл" } },
	{ "%s has %lld bytes, more than the %zu allowed", { "%s: %lld байт, а допустимо %zu" } },
	{ "%s is larger than the %zu bytes allowed", { "%s больше допустимых %zu байт" } },
	{ "open %s", { "не удалось открыть %s" } },
	{ "create %s", { "не удалось создать %s" } },
	{ "write %s", { "не удалось записать %s" } },
	{ "sync %s", { "не удалось сохранить на диск %s" } },
	{ "rename %s to %s", { "не удалось переименовать %s в %s" } },
	{ "create folder %s", { "не удалось создать каталог %s" } },
	{ "follow the link %s", { "не удалось пройти по ссылке %s" } },
	{ "lock", { "не удалось поставить замок на файл" } },
	{ "another process holds the lock", { "замок держит другой процесс" } },
	{ "another process held the lock for %d ms", { "другой процесс держал замок дольше %d мс" } },
	{ "%s is not a file that lines can be added to",
	  { "%s — не файл, в который можно дописывать строки" } },
	{ "append to %s", { "не удалось дописать в %s" } },

	/* lib/base/handover.c */
	{ "the path of the state folder is too long for a unix socket in it",
	  { "путь к папке состояния слишком длинный для unix-сокета в ней" } },
	{ "signal process %ld", { "сигнал процессу %ld" } },
	{ "process %ld does not give its listening sockets",
	  { "процесс %ld не отдаёт свои слушающие сокеты" } },

	/* lib/base/json.c */
	{ "line %d: bad JSON: %s", { "строка %d: ошибка в JSON: %s" } },
	{ "control character in a string", { "управляющий символ в строке" } },
	{ "bad \\u escape", { "неверная последовательность \\u" } },
	{ "bad escape", { "неверная escape-последовательность" } },
	{ "a string is not UTF-8", { "строка не в UTF-8" } },
	{ "the same key twice", { "один и тот же ключ дважды" } },
	{ "nested too deeply", { "слишком глубокая вложенность" } },
	{ "cut short", { "текст обрывается" } },
	{ "a key with one value is expected", { "ожидается ключ с одним значением" } },
	{ "a value is expected", { "ожидается значение" } },
	{ "a comma is expected", { "ожидается запятая" } },
	{ "not a value", { "это не значение" } },
	{ "too large to be JSON of ours", { "слишком велико для JSON этой программы" } },
	{ "empty", { "пусто" } },
	{ "unexpected character", { "неожиданный символ" } },
	{ "something stands after the value", { "лишний текст после значения" } },

	/* lib/base/listener.c */
	{ "look up %s: %s", { "не удалось найти адрес %s: %s" } },

	/* lib/base/passed.c */
	{ "pass on a listening socket", { "не удалось передать слушающий сокет" } },
	{ "close what is not passed on", { "не удалось закрыть лишние дескрипторы" } },

	/* lib/base/program.c */
	{ "the path of %s is too long", { "путь к %s слишком длинный" } },
	{ "%s: error: write output: %s\n", { "%s: ошибка: не удалось вывести результат: %s\n" } },
	{ "%s: error: %s\n", { "%s: ошибка: %s\n" } },
	{ "%s: hint: %s\n", { "%s: подсказка: %s\n" } },
	{ "%s: warning: %s\n", { "%s: предупреждение: %s\n" } },
	{ "%s%s --help tells how it is used", { "как этим пользоваться: %s%s --help" } },
	{ "unknown option %s", { "неизвестный параметр %s" } },
	{ "option --%s needs a value", { "параметру --%s нужно значение" } },
	{ "option -%c needs a value", { "параметру -%c нужно значение" } },
	{ "option --%s takes no value", { "параметр --%s не принимает значения" } },
	{ "unknown option -%c", { "неизвестный параметр -%c" } },

	/* lib/base/sandbox.c */
	{ "give up new privileges", { "не удалось отказаться от новых привилегий" } },
	{ "enter the sandbox", { "не удалось войти в песочницу" } },

	/* lib/base/setting.c */
	{ "folder of key files", { "каталог файлов ключей" } },
	{ "folder of state, trace and logs", { "каталог состояния, трассировки и журналов" } },
	{ "address the proxy serves", { "адрес, на котором работает прокси" } },
	{ "path the proxy serves below", { "путь, ниже которого прокси принимает запросы" } },
	{ "upstream hosts that are allowed; empty: any", { "разрешённые вышестоящие узлы; пусто: любые" } },
	{ "where requests go whose key file names no base URL",
	  { "куда идут запросы, если в файле ключа нет своего base URL" } },
	{ "PEM file of extra trust; empty: the system's alone",
	  { "PEM-файл дополнительных доверенных сертификатов; пусто: только системные" } },
	{ "longest wait for a connection upstream", { "сколько ждать соединения с вышестоящим сервером" } },
	{ "longest silence of the upstream", { "сколько вышестоящий сервер может молчать" } },
	{ "answer without going upstream", { "отвечать, не обращаясь к вышестоящему серверу" } },
	{ "rotate writes the chosen key into the Kimi CLI's config",
	  { "rotate записывает выбранный ключ в конфигурацию Kimi CLI" } },
	{ "manual rotate moves on when the current key only ties for best",
	  { "ручная ротация берёт другой ключ, если текущий лишь не хуже остальных" } },
	{ "auto-rotation may be switched on", { "авторотацию можно включить" } },
	{ "rotate auto ends with an end-to-end check", { "rotate auto завершается сквозной проверкой" } },
	{ "how auto-rotation chooses", { "как авторотация выбирает ключ" } },
	{ "auto-rotation also uses keys in warn", { "авторотация берёт и ключи под вопросом" } },
	{ "lock when the answer gives no better hint",
	  { "срок блокировки, если ответ не подсказал лучшего" } },
	{ "a longer hint of the upstream is probed again at this age",
	  { "срок дольше этого перепроверяется, когда столько пройдёт" } },
	{ "block after a payment error; 0: until unlocked by hand",
	  { "блокировка после ошибки оплаты; 0: до снятия вручную" } },
	{ "strict: only keys whose cached /usages succeeded",
	  { "строго: только ключи с успешным ответом /usages в кэше" } },
	{ "strict mode lets requests through while nothing is cached",
	  { "строгий режим пропускает запросы, пока кэш пуст" } },
	{ "age at which health.json is refreshed; 0: never by itself",
	  { "возраст, с которого обновляется health.json; 0: никогда само" } },
	{ "how often blocked keys are probed; 0: never by itself",
	  { "как часто перепроверять заблокированные ключи; 0: никогда само" } },
	{ "blocked keys probed per pass; 0: none",
	  { "сколько заблокированных ключей проверять за раз; 0: ни одного" } },
	{ "token required from clients; empty: none",
	  { "токен, обязательный для клиентов; пусто: не нужен" } },
	{ "file that holds that token, such as a credential of systemd",
	  { "файл с этим токеном, например учётные данные systemd" } },
	{ "serve clients that are not on loopback", { "обслуживать клиентов не только с этой машины" } },
	{ "remote clients need TLS", { "удалённым клиентам нужен TLS" } },
	{ "something in front of the proxy speaks TLS", { "TLS завершает кто-то перед прокси" } },
	{ "users who are served over a unix socket; empty: whoever may open it",
	  { "пользователи, которых обслуживают через unix-сокет; пусто: все, кто может его открыть" } },
	{ "further names the proxy is reached by", { "другие имена, по которым обращаются к прокси" } },
	{ "web origins whose pages may call", { "веб-источники, страницам которых можно обращаться" } },
	{ "PEM certificate chain of kmi-tls", { "PEM-цепочка сертификатов для kmi-tls" } },
	{ "PEM private key of kmi-tls", { "закрытый ключ PEM для kmi-tls" } },
	{ "address that speaks TLS; empty: that of KMI_PROXY_LISTEN, instead of plain HTTP",
	  { "адрес для TLS; пусто: адрес KMI_PROXY_LISTEN, вместо простого HTTP" } },
	{ "unix socket of the pool that serves the clients of kmi-tls; empty: it starts its own",
	  { "unix-сокет пула, обслуживающего клиентов kmi-tls; пусто: он запускает свой" } },
	{ "requests in any second, whole proxy; 0: off",
	  { "запросов за любую секунду, весь прокси; 0: без предела" } },
	{ "requests in any minute, whole proxy; 0: off",
	  { "запросов за любую минуту, весь прокси; 0: без предела" } },
	{ "requests in any second, each key; 0: off",
	  { "запросов за любую секунду, каждый ключ; 0: без предела" } },
	{ "requests in any minute, each key; 0: off",
	  { "запросов за любую минуту, каждый ключ; 0: без предела" } },
	{ "requests in flight on one account; 0: off",
	  { "одновременных запросов на одной учётной записи; 0: без предела" } },
	{ "how long a request may wait for a key to be free",
	  { "сколько запрос может ждать свободного ключа" } },
	{ "further attempts, each on another account",
	  { "сколько ещё попыток, каждая на другой учётной записи" } },
	{ "backoff base when the same key must be used again",
	  { "основа паузы, если нужно повторить на том же ключе" } },
	{ "largest request body", { "наибольшее тело запроса" } },
	{ "connections served at once", { "сколько соединений обслуживать одновременно" } },
	{ "how long a request waits while that many are served",
	  { "сколько запрос ждёт, пока обслуживается столько других" } },
	{ "how long a kept-alive connection may be idle",
	  { "сколько открытое соединение может простаивать" } },
	{ "how long a stopping proxy lets answers finish",
	  { "сколько останавливаемый прокси ждёт конца ответов" } },
	{ "size at which the trace is rotated; 0: never",
	  { "размер, при котором сменяется файл трассировки; 0: никогда" } },
	{ "rotated traces that are kept", { "сколько старых файлов трассировки хранить" } },
	{ "size at which the log is rotated; 0: never",
	  { "размер, при котором сменяется файл журнала; 0: никогда" } },
	{ "rotated logs that are kept", { "сколько старых файлов журнала хранить" } },
	{ "the trace holds the first words of prompts", { "в трассировке есть первые слова запросов" } },
	{ "zone of the times that people read", { "часовой пояс показываемого времени" } },
	{ "language", { "язык" } },
	{ "no bars, boxes or colours", { "без полос, рамок и цвета" } },
	{ "no colours", { "без цвета" } },
	{ "who is named in audit events", { "чьё имя пишется в события аудита" } },
	{ "programs reach only what they need, where the kernel has Landlock",
	  { "программам доступно только необходимое (если в ядре есть Landlock)" } },
	{ "tighten folders to 0700 and files to 0600", { "ужесточать права: каталоги 0700, файлы 0600" } },
	{ "1/true/yes/on or 0/false/no/off", { "1/true/yes/on или 0/false/no/off" } },
	{ "a whole number from %lld to %lld", { "целое число от %lld до %lld" } },
	{ " or ", { " или " } },
	{ "a text of 1 to %d bytes", { "текст от 1 до %d байт" } },
	{ "up to %d visible ASCII characters, no spaces",
	  { "не более %d видимых символов ASCII, без пробелов" } },
	{ "the path of a folder", { "путь к каталогу" } },
	{ "the path of a file, or empty", { "путь к файлу или пусто" } },
	{ "host:port, [::1]:port (port 1 to 65535) or unix:/path",
	  { "узел:порт, [::1]:порт (порт от 1 до 65535) или unix:/путь" } },
	{ "a path that starts with / and has no query, %, empty, . or .. segment",
	  { "путь, который начинается с / и не содержит запроса, %, пустых частей, . и .." } },
	{ "https://host[:port][/path] without user, query or fragment, its host in "
	  "KMI_UPSTREAM_ALLOWLIST unless that is empty",
	  { "https://узел[:порт][/путь] без имени пользователя, запроса и фрагмента; узел должен "
	    "быть в KMI_UPSTREAM_ALLOWLIST, если он не пуст" } },
	{ "a comma list of host or host:port", { "список через запятую: узел или узел:порт" } },
	{ "a comma list of host or *.domain", { "список через запятую: узел или *.домен" } },
	{ "a comma list of scheme://host[:port]", { "список через запятую: схема://узел[:порт]" } },
	{ "a comma list of users of this system, by name or number",
	  { "список через запятую: пользователи этой системы, по имени или номеру" } },
	{ "local, UTC, an offset such as +03:00, or the IANA name of a zone this system knows",
	  { "local, UTC, смещение вида +03:00 или имя пояса IANA, известное системе" } },
	{ "true or false", { "true или false" } },
	{ "an integer", { "целое число" } },
	{ "a string or an array of strings", { "строка или массив строк" } },
	{ "a string", { "строка" } },

	/* lib/base/toml.c */
	{ "a \\u escape needs 4 hex digits, \\U needs 8",
	  { "после \\u нужны 4 шестнадцатеричные цифры, после \\U — 8" } },
	{ "the escape names no Unicode character", { "последовательность не обозначает символа Юникода" } },
	{ "no such escape", { "нет такой escape-последовательности" } },
	{ "the string is not closed", { "строка не закрыта" } },
	{ "a control character in a string", { "управляющий символ в строке" } },
	{ "a key is missing", { "нет ключа" } },
	{ "the key goes through something that is no open table",
	  { "ключ проходит через то, что не является открытой таблицей" } },
	{ "a dotted key may not add to a table that has its own header",
	  { "ключ с точками не может дополнять таблицу со своим заголовком" } },
	{ "\"=\" is missing after the key", { "после ключа нет «=»" } },
	{ "the key is defined twice", { "ключ задан дважды" } },
	{ "\",\" or \"]\" is missing in an array", { "в массиве не хватает «,» или «]»" } },
	{ "\",\" or \"}\" is missing in an inline table",
	  { "во встроенной таблице не хватает «,» или «}»" } },
	{ "a value is missing", { "нет значения" } },
	{ "the table is defined twice", { "таблица задана дважды" } },
	{ "the key is already something else than an array of tables",
	  { "ключ уже занят не массивом таблиц" } },
	{ "the header is not closed", { "заголовок не закрыт" } },
	{ "a control character", { "управляющий символ" } },
	{ "unexpected text at the end of the line", { "лишний текст в конце строки" } },
	{ "not UTF-8 text", { "текст не в UTF-8" } },

	/* lib/base/toml_scalar.c */
	{ "the integer does not fit in 64 bits", { "целое число не помещается в 64 бита" } },
	{ "a number must not start with a zero", { "число не должно начинаться с нуля" } },

	/* lib/base/trust.c */
	{ "KMI_UPSTREAM_CA_FILE %s", { "KMI_UPSTREAM_CA_FILE: не удалось прочитать %s" } },

	/* lib/books/audit.c */
	{ "the line tells of %zu keys, but of the accounts of %zu",
	  { "в строке ключей %zu, а учётных записей %zu" } },
	{ "trace/sets/%s.json was changed: its labels do not give that name",
	  { "trace/sets/%s.json изменён: его метки не дают такого имени" } },

	/* lib/books/events.c */
	{ "the event is too long for the log", { "событие слишком длинное для журнала" } },

	/* lib/books/proof.c */
	{ "the active key %s was fit, but the choice did not begin there",
	  { "активный ключ %s был пригоден, но выбор начат не с него" } },
	{ "with %s as the active key it was for %s to serve, but %s was used",
	  { "при активном ключе %s отвечать должен был %s, а использован %s" } },
	{ "conversation %s was to go to %s, but %s was used",
	  { "беседа %s принадлежит ключу %s, а использован %s" } },
	{ "quota does not tell of the %zu keys that were fit, the most left first",
	  { "quota не описывает %zu пригодных ключей по убыванию остатка" } },
	{ "%s had most quota left, but %s was used",
	  { "больше всего квоты было у %s, а использован %s" } },
	{ "%s was used, but is not one of the %zu keys that had most quota left",
	  { "использован %s, а он не из тех %zu ключей, у которых квоты больше всего" } },
	{ "a turn chose its key, but rotation_index is missing",
	  { "ключ выбран по очереди, но нет rotation_index" } },
	{ "turn %lld among %zu keys was that of %s, but %s was used",
	  { "ход %lld среди %zu ключей принадлежал %s, а использован %s" } },
	{ "%s was used, but is not among the keys that were fit",
	  { "использован %s, а его нет среди пригодных ключей" } },
	{ "a locked key was probed although %zu keys were fit",
	  { "проверен заблокированный ключ, хотя пригодных было %zu" } },
	{ "the first attempt was chosen as if it were another one (%s)",
	  { "первая попытка выбрана так, будто она не первая (%s)" } },
	{ "attempt %d repeats %s after the verdict %s on %s",
	  { "попытка %d повторяет %s после вердикта %s о %s" } },
	{ "attempt %d was to be on another key of a tried account, but %s (account %s) is not",
	  { "попытке %d полагался другой ключ той же учётной записи, а %s (учётная запись %s) — не "
	    "такой" } },
	{ "attempt %d was to be on another account, but %s (account %s) is not",
	  { "попытке %d полагалась другая учётная запись, а у %s (учётная запись %s) она не другая" } },
	{ "attempt %d was chosen as if it were the first (%s)",
	  { "попытка %d выбрана так, будто она первая (%s)" } },
	{ "key_label is %s, but the last attempt was on %s",
	  { "key_label — %s, а последняя попытка была на %s" } },
	{ "account is %s, but the last attempt was on %s",
	  { "account — %s, а последняя попытка была на %s" } },
	{ "the line was changed after it was written: its sum does not fit",
	  { "строка изменена после записи: её сумма не сходится" } },
	{ "%lld turns are not there yet: their requests still run, or were killed, or lines were removed\n",
	  { "%lld хода ещё нет: его запрос ещё идёт либо был убит, либо строка удалена\n",
	    "%lld ходов ещё нет: их запросы ещё идут либо были убиты, либо строки удалены\n",
	    "%lld ходов ещё нет: их запросы ещё идут либо были убиты, либо строки удалены\n" } },
	{ "this request is in the trace twice", { "этот запрос записан в трассировке дважды" } },
	{ "turn %llu is missing before it: its line was removed, or its request was killed, or still runs",
	  { "перед ней нет хода %llu: строка удалена либо запрос убит или ещё идёт" } },
	{ "turns %llu to %llu are missing before it: lines were removed, state.json was changed, "
	  "or requests were killed or still run",
	  { "перед ней нет ходов с %llu по %llu: строки удалены, state.json изменён либо запросы "
	    "убиты или ещё идут" } },
	{ "turn %lld was given to two requests", { "ход %lld достался двум запросам" } },

	/* lib/books/trace.c */
	{ "a trace line is too long to be written", { "строка трассировки слишком длинная" } },
	{ "a set of %zu keys is too large to be written",
	  { "набор из %zu ключей слишком велик для записи" } },

	/* lib/books/trace_files.c */
	{ "read the trace in %s/trace", { "не удалось прочитать трассировку в %s/trace" } },

	/* lib/books/trace_filter.c */
	{ "--since %.60s is no time", { "--since %.60s — это не время" } },
	{ "write 30s, 10m, 2h, 1d or 1w for so long ago, or 2026-01-31, \"2026-01-31 10:00\", "
	  "2026-01-31T10:00:00Z",
	  { "пишите 30s, 10m, 2h, 1d или 1w (столько назад) либо 2026-01-31, «2026-01-31 10:00», "
	    "2026-01-31T10:00:00Z" } },

	/* lib/books/trace_read.c */
	{ "a list of labels holds something else", { "в списке меток есть что-то другое" } },
	{ "not a trace line", { "это не строка трассировки" } },
	{ "the trace names a set in a way kmi does not",
	  { "набор ключей в трассировке назван не так, как это делает kmi" } },
	{ "%s is not a list of labels", { "%s — не список меток" } },

	/* lib/doctor/client.c */
	{ "the Kimi CLI, run by itself, goes straight to %s with the key %s, past the proxy (%s)",
	  { "сам по себе Kimi CLI обращается прямо к %s с ключом %s, минуя прокси (%s)" } },
	{ "the Kimi CLI, run by itself, goes straight to %s with a key or a login of its own, past the proxy (%s)",
	  { "сам по себе Kimi CLI обращается прямо к %s со своим ключом или входом, минуя прокси (%s)" } },
	{ "if that is meant, all is well: `kmi rotate` changes the key there; through the proxy: `kmi kimi`, or base_url = \"%s://%s%s\" in that file",
	  { "если так и задумано, всё в порядке: ключ там меняет `kmi rotate`; через прокси — `kmi kimi` либо base_url = \"%s://%s%s\" в этом файле" } },
	{ "%s can be read; in this shell %s outranks it", { "%s читается; в этой оболочке его перекрывает %s" } },
	{ "%s can be read; it names no provider of Kimi", { "%s читается; провайдера Kimi в нём нет" } },
	{ "the provider %s in %s leads to %s, and the proxy is not there",
	  { "провайдер %s в %s ведёт на %s, а прокси там нет" } },
	{ "base_url = \"%s://%s%s\" in that file, or run the Kimi CLI by `kmi kimi`",
	  { "base_url = \"%s://%s%s\" в этом файле либо запускайте Kimi CLI через `kmi kimi`" } },
	{ "%s leads to the proxy, but its api_key is not the token that the proxy asks for",
	  { "%s ведёт к прокси, но api_key в нём — не тот токен, которого требует прокси" } },
	{ "put the value of KMI_PROXY_TOKEN there, or run the Kimi CLI by `kmi kimi`",
	  { "впишите туда значение KMI_PROXY_TOKEN либо запускайте Kimi CLI через `kmi kimi`" } },
	{ "%s leads to the proxy", { "%s ведёт к прокси" } },
	{ "%s does not lead to the proxy: %s", { "%s ведёт не к прокси: %s" } },
	{ "export %s=%s://%s%s, or run the Kimi CLI by `kmi kimi`",
	  { "export %s=%s://%s%s или запускайте Kimi CLI через `kmi kimi`" } },
	{ "no variable sends clients of this shell to the proxy",
	  { "ни одна переменная не направляет клиентов этой оболочки к прокси" } },
	{ "`kmi kimi` runs the Kimi CLI through it; for others: export OPENAI_BASE_URL=%s://%s%s",
	  { "Kimi CLI через него запускает `kmi kimi`; для других: export OPENAI_BASE_URL=%s://%s%s" } },
	{ "clients of this shell look for 127.0.0.1 through another HTTP proxy",
	  { "клиенты этой оболочки ищут 127.0.0.1 через другой HTTP-прокси" } },
	{ "export NO_PROXY=127.0.0.1,localhost", { "export NO_PROXY=127.0.0.1,localhost" } },
	{ "%s is no valid TOML: %s", { "%s — неправильный TOML: %s" } },
	{ "mend that line; `kmi rotate` leaves such a file alone",
	  { "исправьте эту строку; `kmi rotate` такой файл не трогает" } },

	/* lib/doctor/files.c */
	{ "%lld files of the state folder may be read or written by others, such as %s",
	  { "%lld файл каталога состояния доступен другим: %s",
	    "%lld файла каталога состояния доступны другим, например %s",
	    "%lld файлов каталога состояния доступны другим, например %s" } },
	{ "chmod -R go= %s", { "chmod -R go= %s" } },
	{ "%lld files of the state folder belong to another user than the folder, such as %s",
	  { "%lld файл каталога состояния принадлежит не тому, кому каталог: %s",
	    "%lld файла каталога состояния принадлежат не тому, кому каталог, например %s",
	    "%lld файлов каталога состояния принадлежат не тому, кому каталог, например %s" } },
	{ "was kmi run by sudo? sudo chown -R %s %s", { "kmi запускали через sudo? sudo chown -R %s %s" } },
	{ "%lld files of the state folder cannot be read and written, such as %s",
	  { "%lld файл каталога состояния нельзя читать и писать: %s",
	    "%lld файла каталога состояния нельзя читать и писать, например %s",
	    "%lld файлов каталога состояния нельзя читать и писать, например %s" } },
	{ "chmod -R u+rwX %s", { "chmod -R u+rwX %s" } },
	{ "the files in the state folder are for their owner alone",
	  { "файлы каталога состояния доступны только владельцу" } },
	{ "the state folder %s is not there yet; the first request makes it",
	  { "каталога состояния %s ещё нет; его создаст первый запрос" } },
	{ "nothing can be written to the state folder %s: %s",
	  { "в каталог состояния %s нельзя писать: %s" } },
	{ "make room on that disk", { "освободите место на этом диске" } },
	{ "give the folder to the user who runs the proxy (now %s): chown, or KMI_STATE_DIR",
	  { "отдайте каталог пользователю, под которым работает прокси (сейчас %s): chown или "
	    "KMI_STATE_DIR" } },
	{ "the disk of the state folder %s is full: requests are served without books",
	  { "диск с каталогом состояния %s полон: запросы обслуживаются без учёта" } },
	{ "the state folder %s can be written", { "в каталог состояния %s можно писать" } },
	{ "the disk of the state folder is nearly full", { "диск с каталогом состояния почти полон" } },
	{ "others may look into the state folder %s", { "в каталог состояния %s могут заглянуть другие" } },
	{ "chmod 700 %s", { "chmod 700 %s" } },
	{ "the state folder %s belongs to another user",
	  { "каталог состояния %s принадлежит другому пользователю" } },
	{ "run kmi as that user, or set KMI_STATE_DIR",
	  { "запускайте kmi от этого пользователя или задайте KMI_STATE_DIR" } },
	{ "an unreadable state.json was set aside as %s", { "нечитаемый state.json отложен как %s" } },
	{ "look what happened to it (an editor? a full disk?), then delete it",
	  { "посмотрите, что с ним случилось (редактор? полный диск?), затем удалите" } },
	{ "process %ld holds the lock of state.json and does not go on",
	  { "процесс %ld держит замок state.json и не движется" } },
	{ "requests are served without books meanwhile; is it stopped? kill -CONT %ld, or end it",
	  { "запросы пока обслуживаются без учёта; он остановлен? kill -CONT %ld или завершите его" } },
	{ "a newer kmi wrote it: install that one, or move the file away",
	  { "его записал более новый kmi: установите его или уберите файл" } },
	{ "make it yours to read and write, or name another folder in KMI_STATE_DIR",
	  { "сделайте так, чтобы вы могли его читать и писать, или укажите другую папку в KMI_STATE_DIR" } },
	{ "a fresh one is started by itself; what was in the old one stays beside it",
	  { "новый начнётся сам; содержимое старого останется рядом" } },
	{ "state.json can be read", { "state.json читается" } },
	{ "there is no trace yet: no request has come",
	  { "трассировки ещё нет: не пришло ни одного запроса" } },
	{ "curl %s://%s%s/models sends one", { "послать запрос: curl %s://%s%s/models" } },
	{ "%zu of the last %zu trace lines cannot be read",
	  { "не читаются строки трассировки: %zu из последних %zu" } },
	{ "a crash or a full disk may tear a line; the others count",
	  { "строку мог оборвать сбой или полный диск; остальные в счёте" } },
	{ "the trace can be read", { "трассировка читается" } },
	{ "the last trace line is from the future: a clock was wrong, then or now",
	  { "последняя строка трассировки из будущего: часы врали тогда или врут сейчас" } },
	{ "timedatectl tells whether the clock is kept right",
	  { "верно ли идут часы, скажет timedatectl" } },
	{ "%lld warnings in the log within a day, the last one: %s",
	  { "за сутки в журнале %lld предупреждение, последнее: %s",
	    "за сутки в журнале %lld предупреждения, последнее: %s",
	    "за сутки в журнале %lld предупреждений, последнее: %s" } },
	{ "kmi proxy-logs --app --since 1d shows them", { "их покажет kmi proxy-logs --app --since 1d" } },
	{ "no warnings in the log within a day", { "за сутки в журнале нет предупреждений" } },

	/* lib/doctor/keys.c */
	{ "wait until it is renewed, or add another key",
	  { "подождите обновления или добавьте ещё ключ" } },
	{ "top the account up, then `kmi unlock %s`",
	  { "пополните учётную запись, затем `kmi unlock %s`" } },
	{ "put a good key into its file (that unlocks it), or set KMI_KEY_DISABLED=1 in it",
	  { "впишите в файл годный ключ (это снимет блокировку) или задайте в нём KMI_KEY_DISABLED=1" } },
	{ "it ends by itself; `kmi unlock %s` ends it now",
	  { "пройдёт само; снять сейчас: `kmi unlock %s`" } },
	{ "%s cannot be used: %s", { "%s не может работать: %s" } },
	{ "others may read %s", { "%s могут прочитать другие" } },
	{ "chmod 600 %s (and renew the key, if others could log in here)",
	  { "chmod 600 %s (и смените ключ, если сюда могли зайти другие)" } },
	{ "health.json is not read: %s", { "health.json не читается: %s" } },
	{ "kmi health --refresh writes it anew", { "заново его запишет kmi health --refresh" } },
	{ "what is left of the quotas is not known", { "остаток квот неизвестен" } },
	{ "kmi health asks for it", { "его узнаёт kmi health" } },
	{ "%s was last asked for its quota in vain: %s", { "последний опрос квоты %s не удался: %s" } },
	{ "kmi health --refresh asks again; is the key good, and the network up?",
	  { "спросить снова: kmi health --refresh; ключ годен, сеть работает?" } },
	{ "there are no keys: %s", { "ключей нет: %s" } },
	{ "put a key file there, such as main.env with KMI_API_KEY=...; or set KMI_AUTHS_DIR",
	  { "положите туда файл ключа, например main.env с KMI_API_KEY=..., или задайте KMI_AUTHS_DIR" } },
	{ "put a key file there, such as main.env with KMI_API_KEY=...",
	  { "положите туда файл ключа, например main.env с KMI_API_KEY=..." } },
	{ "none of the %zu keys can be used now", { "сейчас не может работать ни один ключ из %zu" } },
	{ "see below what bars them", { "что им мешает, сказано ниже" } },
	{ "%zu of %zu keys can be used", { "могут работать ключи: %zu из %zu" } },
	{ "%s is skipped: %s", { "%s пропущен: %s" } },
	{ "mend the file, or take it out of the folder", { "исправьте файл или уберите его из каталога" } },

	/* lib/doctor/proxy.c */
	{ "nobody speaks TLS on %s", { "на %s никто не принимает TLS" } },
	{ "kmi proxy install --system --tls where systemd runs the proxy, else kmi proxy-restart",
	  { "kmi proxy install --system --tls, если прокси запускает systemd, иначе kmi proxy-restart" } },
	{ "KMI_PROXY_TLS_LISTEN=0.0.0.0:%d is for other machines, too; then start the proxy anew",
	  { "KMI_PROXY_TLS_LISTEN=0.0.0.0:%d — и для других машин; потом запустите прокси заново" } },
	{ "the token is so short that others may find it by trying",
	  { "токен такой короткий, что его можно подобрать" } },
	{ "make a long random one: openssl rand -hex 24",
	  { "создайте длинный случайный: openssl rand -hex 24" } },
	{ "%s serves only the users that KMI_PROXY_UNIX_USERS names",
	  { "%s обслуживает только пользователей из KMI_PROXY_UNIX_USERS" } },
	{ "%s refuses your own clients: KMI_PROXY_UNIX_USERS does not name you",
	  { "%s отказывает вашим же клиентам: вас нет в KMI_PROXY_UNIX_USERS" } },
	{ "add your user there (number %ld), if you want to use the proxy yourself",
	  { "добавьте туда своего пользователя (номер %ld), если сами хотите пользоваться прокси" } },
	{ "systemd runs the proxy (%s)", { "прокси работает через systemd (%s)" } },
	{ "s6 runs the proxy", { "прокси работает через s6" } },
	{ "%s (process %ld) runs the proxy", { "прокси работает через %s (процесс %ld)" } },
	{ "the proxy runs (process %ld)", { "прокси работает (процесс %ld)" } },
	{ "stop that program, or give the proxy another address: KMI_PROXY_LISTEN=127.0.0.1:54124",
	  { "остановите её или дайте прокси другой адрес: KMI_PROXY_LISTEN=127.0.0.1:54124" } },
	{ "systemd should run the proxy (%s), but nobody listens on %s",
	  { "прокси должен работать через systemd (%s), но на %s никто не слушает" } },
	{ "systemctl --user start %s; `systemctl --user status %s` says why it ended",
	  { "systemctl --user start %s; почему он завершился, скажет `systemctl --user status %s`" } },
	{ "systemctl start %s; `systemctl status %s` says why it ended",
	  { "systemctl start %s; почему он завершился, скажет `systemctl status %s`" } },
	{ "somebody listens on %s but does not answer", { "на %s кто-то слушает, но не отвечает" } },
	{ "kmi proxy-logs shows what it said; kmi proxy-restart starts it anew",
	  { "его сообщения покажет kmi proxy-logs; запустит заново kmi proxy-restart" } },
	{ "%s is on this machine only", { "%s доступен только с этой машины" } },
	{ "%s is open to other machines, which are all refused",
	  { "%s открыт для других машин, но им всем отказано" } },
	{ "KMI_PROXY_ALLOW_REMOTE=1 serves them; 127.0.0.1 keeps them out",
	  { "KMI_PROXY_ALLOW_REMOTE=1 их пустит; 127.0.0.1 закроет от них" } },
	{ "other machines are refused, because there is no token",
	  { "другим машинам отказано: не задан токен" } },
	{ "set KMI_PROXY_TOKEN to a long random text, which clients then send as their key",
	  { "задайте в KMI_PROXY_TOKEN длинный случайный текст; клиенты передают его как свой ключ" } },
	{ "other machines are refused, because their connections are not encrypted",
	  { "другим машинам отказано: их соединения не зашифрованы" } },
	{ "set KMI_PROXY_TLS_CERT and KMI_PROXY_TLS_KEY (`kmi tls selfsigned` makes a first pair), "
	  "or KMI_PROXY_TLS_TERMINATED=1 when something in front does TLS",
	  { "задайте KMI_PROXY_TLS_CERT и KMI_PROXY_TLS_KEY (первую пару сделает `kmi tls "
	    "selfsigned`) или KMI_PROXY_TLS_TERMINATED=1, если TLS завершается раньше" } },
	{ "other machines are served without encryption: token and prompts can be read on the way",
	  { "другие машины обслуживаются без шифрования: токен и запросы можно прочесть по пути" } },
	{ "KMI_PROXY_REQUIRE_TLS=1, with a certificate", { "KMI_PROXY_REQUIRE_TLS=1 и сертификат" } },
	{ "%s serves other machines that send the token",
	  { "%s обслуживает другие машины, если у них есть токен" } },
	{ "TLS needs both KMI_PROXY_TLS_CERT and KMI_PROXY_TLS_KEY, and one is not set",
	  { "для TLS нужны и KMI_PROXY_TLS_CERT, и KMI_PROXY_TLS_KEY, а одного нет" } },
	{ "`kmi tls selfsigned` makes a first pair", { "первую пару сделает `kmi tls selfsigned`" } },
	{ "the certificate %s (%s) is good until %s", { "сертификат %s (%s) действует до %s" } },
	{ "a process may open %llu files, fewer than %lld connections need",
	  { "процесс может открыть файлов: %llu, для стольких соединений (%lld) этого мало" } },
	{ "ulimit -n 4096, LimitNOFILE= in a unit, or a lower KMI_PROXY_MAX_CONNECTIONS",
	  { "ulimit -n 4096, LimitNOFILE= в юните или меньший KMI_PROXY_MAX_CONNECTIONS" } },

	/* lib/doctor/service.c */
	{ "the service runs as %s, who may not read the folder of keys %s",
	  { "служба работает от %s, а ему нельзя читать каталог ключей %s" } },
	{ "chgrp %s %s && chmod 750 %s", { "chgrp %s %s && chmod 750 %s" } },
	{ "the service runs as %s, who may not read %s",
	  { "служба работает от %s, а ему нельзя читать %s" } },
	{ "chgrp %s %s && chmod 640 %s", { "chgrp %s %s && chmod 640 %s" } },
	{ "the service is to run as the user %s, whom there is not",
	  { "служба должна работать от пользователя %s, а его нет" } },
	{ "sudo kmi proxy install --system makes him", { "его создаст sudo kmi proxy install --system" } },
	{ "the service runs as %s, who may not write to the state folder %s",
	  { "служба работает от %s, а ему нельзя писать в каталог состояния %s" } },
	{ "chown -R %s: %s", { "chown -R %s: %s" } },

	/* lib/doctor/settings.c */
	{ "dry run: nothing is sent upstream, answers are made up",
	  { "холостой режим: на сервер ничего не уходит, ответы выдуманы" } },
	{ "KMI_DRY_RUN=0 goes live", { "KMI_DRY_RUN=0 включает рабочий режим" } },
	{ "live: requests go to %s", { "рабочий режим: запросы идут на %s" } },
	{ "automatic rotation is switched on but not allowed: one key serves all",
	  { "авторотация включена, но не разрешена: на всё один ключ" } },
	{ "KMI_AUTO_ROTATE_ALLOWED=1 allows it; `kmi rotate off` switches it off",
	  { "KMI_AUTO_ROTATE_ALLOWED=1 её разрешает, `kmi rotate off` выключает" } },
	{ "rotation is automatic", { "ротация автоматическая" } },
	{ "rotation is manual", { "ротация ручная" } },
	{ "no request is served: only keys with a known quota may be used, and none is known",
	  { "запросы не обслуживаются: годятся только ключи с известной квотой, а она неизвестна "
	    "ни у одного" } },
	{ "kmi health asks for them; KMI_FAIL_OPEN_ON_EMPTY_CACHE=1 serves meanwhile",
	  { "её узнаёт kmi health; с KMI_FAIL_OPEN_ON_EMPTY_CACHE=1 запросы пока проходят" } },
	{ "the settings load; %zu of %zu are not the default",
	  { "настройки читаются; изменено %zu из %zu" } },
	{ "correct or remove it; `kmi config` lists the settings",
	  { "исправьте или уберите; настройки перечислит `kmi config`" } },

	/* lib/doctor/system.c */
	{ "%s names %s, which cannot be read", { "%s указывает на %s, а он не читается" } },
	{ "correct it, or unset it to trust what the system trusts",
	  { "исправьте или уберите, чтобы доверять тому же, что система" } },
	{ "%zu certificate authorities are trusted (%s)",
	  { "доверенных удостоверяющих центров: %zu (%s)" } },
	{ "no certificate authority is trusted: %s has none by its hash",
	  { "нет доверенных удостоверяющих центров: в %s нет ни одного под именем-хешем" } },
	{ "apt-get install ca-certificates, or update-ca-certificates; c_rehash for a folder of your own",
	  { "apt-get install ca-certificates или update-ca-certificates; для своего каталога — c_rehash" } },
	{ "the clock of this machine is years behind: no certificate is valid yet",
	  { "часы этой машины отстают на годы: ни один сертификат ещё не действует" } },
	{ "timedatectl set-ntp true", { "timedatectl set-ntp true" } },
	{ "the clock is plausible", { "часы правдоподобны" } },
	{ "%s ends for good after 200 connections within two seconds",
	  { "%s перестаёт работать насовсем после 200 соединений за две секунды" } },
	{ "put TriggerLimitIntervalSec=0 into its [Socket] section; `kmi proxy install` writes a good one",
	  { "впишите TriggerLimitIntervalSec=0 в раздел [Socket]; правильный юнит ставит `kmi "
	    "proxy install`" } },
	{ "the sandboxes of handlers, kmi-tls and tools are switched off",
	  { "песочницы обработчиков, kmi-tls и инструментов выключены" } },
	{ "KMI_SANDBOX=1 switches them on", { "KMI_SANDBOX=1 включает их" } },
	{ "this kernel has no Landlock: handlers, kmi-tls and tools are held by file permissions alone",
	  { "в этом ядре нет Landlock: обработчиков, kmi-tls и инструменты ограничивают только права на файлы" } },
	{ "no harm; a kernel from 5.13 on has it, and the units of systemd do much of the same",
	  { "это не беда; он есть в ядрах начиная с 5.13, а многое из этого делают и юниты systemd" } },
	{ "a handler reaches the keys, the state folder and the upstream's ports (Landlock %d)",
	  { "обработчику доступны ключи, каталог состояния и порты сервера API (Landlock %d)" } },
	{ "a handler reaches the keys and the state folder, but every port (Landlock %d)",
	  { "обработчику доступны ключи и каталог состояния, но и любой порт (Landlock %d)" } },
	{ "kmi-tls reaches no file where it serves a client (Landlock %d)",
	  { "kmi-tls, обслуживая клиента, не имеет доступа ни к одному файлу (Landlock %d)" } },
	{ "the tools reach what each needs, as its manual page says (Landlock %d)",
	  { "инструментам доступно то, что нужно каждому: об этом говорят их страницы руководства (Landlock %d)" } },

	/* lib/keys/auths.c */
	{ "not a regular file", { "не обычный файл" } },
	{ "%lld bytes are more than a key file may have (%u)",
	  { "%lld байт: больше, чем может быть в файле ключа (%u)" } },
	{ "the key is longer than %d characters", { "ключ длиннее %d символов" } },
	{ "the key is not made of visible ASCII characters alone",
	  { "ключ состоит не только из видимых символов ASCII" } },
	{ "%s is not a whole number from %lld to %lld", { "%s — не целое число от %lld до %lld" } },
	{ "%s is none of 1/true/yes/on, 0/false/no/off",
	  { "%s: допустимы только 1/true/yes/on и 0/false/no/off" } },
	{ "the %s is longer than %d bytes", { "%s: длиннее %d байт" } },
	{ "the %s has a control character in it", { "%s: содержит управляющий символ" } },
	{ "the %s is not UTF-8", { "%s: не в UTF-8" } },
	{ "label", { "метка" } },
	{ "account", { "учётная запись" } },
	{ "the same key as \"%s\" in %s", { "тот же ключ, что и «%s» в %s" } },
	{ "the label \"%s\" is taken by another key, in %s", { "метка «%s» занята другим ключом, в %s" } },
	{ "open folder %s", { "не удалось открыть каталог %s" } },
	{ "make the folder, put a key file into it, or name another one in KMI_AUTHS_DIR",
	  { "создайте каталог, положите в него файл ключа или укажите другой в KMI_AUTHS_DIR" } },

	/* lib/keys/choose.c */
	{ "healthy", { "исправен" } },
	{ "warn", { "под вопросом" } },
	{ "exhausted", { "исчерпан" } },
	{ "blocked", { "заблокирован" } },
	{ "disabled", { "отключён" } },
	{ "recent errors", { "недавние ошибки" } },
	{ "many errors", { "много ошибок" } },
	{ "quota used up", { "квота исчерпана" } },
	{ "usage unknown", { "расход неизвестен" } },

	/* lib/keys/client_write.c */
	{ "it is the key file of %s too, by a link", { "по ссылке это и файл ключа %s" } },
	{ "put a copy in the place of the link: cp --remove-destination does that",
	  { "замените ссылку копией: это делает cp --remove-destination" } },

	/* lib/keys/client_config.c */
	{ "line %d: %s is written in a form that cannot be changed in place",
	  { "строка %d: %s записан так, что на месте его не изменить" } },
	{ "take it out of the file, then run kmi rotate again",
	  { "уберите это из файла и снова вызовите kmi rotate" } },
	{ "its providers are written in a form that cannot be changed in place",
	  { "провайдеры записаны в нём так, что на месте их не изменить" } },

	/* lib/keys/index.c */
	{ "the pool index is damaged", { "указатель пула повреждён" } },

	/* lib/keys/keyfile.c */
	{ "line 1: not an object {...}", { "строка 1: это не объект {...}" } },
	{ "no KMI_API_KEY in it", { "в нём нет KMI_API_KEY" } },
	{ "provider \"%s\" has no api_key any more", { "у провайдера «%s» больше нет api_key" } },
	{ "no provider with an api_key in it", { "в нём нет провайдера с api_key" } },
	{ "base_url is not a text", { "base_url — не строка" } },

	/* lib/keys/keyring.c */
	{ "the other rules of %s are in force", { "остальные правила из %s действуют" } },
	{ "state.json could not be read and was set aside as %s; a fresh one was started",
	  { "state.json не читается и отложен как %s; начат новый" } },
	{ "%s has changed", { "%s изменился" } },

	/* lib/keys/limit.c */
	{ "a rate limit must be between 0 and %d", { "предел частоты должен быть от 0 до %d" } },
	{ "%s is damaged", { "%s повреждён" } },

	/* lib/keys/refresh.c */
	{ "libcurl does not take the request", { "libcurl не принимает запрос" } },
	{ "libcurl does not go on", { "libcurl не продолжает работу" } },
	{ "this is a dry run: nothing is asked of the upstream",
	  { "холостой режим: к серверу никто не обращается" } },

	/* lib/keys/roster.c */
	{ "it could not be read and was set aside as %s", { "файл не читается и отложен как %s" } },

	/* lib/keys/slot.c */
	{ "lock a slot of %s", { "не удалось занять место для %s" } },

	/* lib/keys/state.c */
	{ "state.json is not open", { "state.json не открыт" } },
	{ "%s is not laid out as kmi writes it", { "%s записан не так, как это делает kmi" } },
	{ "%s is not locked", { "на %s нет замка" } },
	{ "%s was changed meanwhile", { "%s тем временем изменился" } },
	{ "set aside %s", { "не удалось отложить %s" } },
	{ "%s would be larger than %u bytes", { "%s стал бы больше %u байт" } },
	{ "fuser %s names the process", { "fuser %s назовёт этот процесс" } },

	/* lib/keys/state_text.c */
	{ "not a JSON object", { "это не объект JSON" } },
	{ "schema_version is %g, this kmi knows %d", { "schema_version равен %g, а этот kmi знает %d" } },
	{ "use the kmi that wrote state.json, or move that file away to start afresh",
	  { "возьмите kmi, который записал state.json, или уберите этот файл, чтобы начать заново" } },

	/* lib/keys/usage.c */
	{ "the answer is larger than any account of usage", { "ответ больше любого отчёта о расходе" } },
	{ "the answer tells nothing of a quota", { "в ответе ничего нет о квоте" } },

	/* lib/keys/verdict.c */
	{ "line %d: a quoted text does not end", { "строка %d: текст в кавычках не закрыт" } },
	{ "line %d: a rule has four fields: status, type, message, verdict",
	  { "строка %d: в правиле четыре поля: статус, тип, сообщение, вердикт" } },
	{ "line %d: \"%.*s\" is no status: a number, a class such as 4xx, or *",
	  { "строка %d: «%.*s» — не статус: нужно число, класс вроде 4xx или *" } },
	{ "line %d: an empty text would be in every answer; write * for any",
	  { "строка %d: пустой текст есть в любом ответе; для любого пишите *" } },
	{ "line %d: \"%.*s\" is no verdict", { "строка %d: «%.*s» — не вердикт" } },
	{ "line %d: more than %zu rules", { "строка %d: правил больше %zu" } },
	{ "request", { "ошибка в запросе" } },
	{ "auth", { "ключ не принят" } },
	{ "payment_required", { "нужна оплата" } },
	{ "concurrency", { "одновременные запросы" } },
	{ "rate_limit", { "лимит запросов" } },
	{ "overload", { "перегрузка сервиса" } },
	{ "forbidden", { "доступ запрещён" } },
	{ "server", { "сбой сервера" } },
	{ "upstream_error", { "сбой вышестоящего сервера" } },

	/* lib/proxy/access.c */
	{ "this connection does not come in on loopback, and the proxy is not set up for that: "
	  "KMI_PROXY_ALLOW_REMOTE is off",
	  { "соединение пришло не через loopback, а прокси к этому не готов: "
	    "KMI_PROXY_ALLOW_REMOTE выключен" } },
	{ "Set KMI_PROXY_ALLOW_REMOTE=1. Or listen on 127.0.0.1 only: KMI_PROXY_LISTEN=127.0.0.1:54123.",
	  { "Задайте KMI_PROXY_ALLOW_REMOTE=1. Или слушайте только 127.0.0.1: "
	    "KMI_PROXY_LISTEN=127.0.0.1:54123." } },
	{ "this connection does not come in on loopback, and the proxy is not set up for that: "
	  "KMI_PROXY_TOKEN is empty",
	  { "соединение пришло не через loopback, а прокси к этому не готов: KMI_PROXY_TOKEN пуст" } },
	{ "Please set KMI_PROXY_TOKEN to a long random word. Or listen on 127.0.0.1 only: "
	  "KMI_PROXY_LISTEN=127.0.0.1:54123.",
	  { "Задайте в KMI_PROXY_TOKEN длинное случайное слово. Или слушайте только 127.0.0.1: "
	    "KMI_PROXY_LISTEN=127.0.0.1:54123." } },
	{ "this connection does not come in on loopback, and the proxy is not set up for that: "
	  "KMI_PROXY_ALLOW_REMOTE is off, KMI_PROXY_TOKEN is empty",
	  { "соединение пришло не через loopback, а прокси к этому не готов: "
	    "KMI_PROXY_ALLOW_REMOTE выключен, KMI_PROXY_TOKEN пуст" } },
	{ "Set KMI_PROXY_ALLOW_REMOTE=1, set KMI_PROXY_TOKEN to a long random word. Or listen on "
	  "127.0.0.1 only: KMI_PROXY_LISTEN=127.0.0.1:54123.",
	  { "Задайте KMI_PROXY_ALLOW_REMOTE=1, задайте в KMI_PROXY_TOKEN длинное случайное слово. "
	    "Или слушайте только 127.0.0.1: KMI_PROXY_LISTEN=127.0.0.1:54123." } },
	{ "this connection does not come in on loopback, and the proxy is not set up for that: the "
	  "connection is not encrypted",
	  { "соединение пришло не через loopback, а прокси к этому не готов: соединение не зашифровано" } },
	{ "Please serve TLS with KMI_PROXY_TLS_CERT and KMI_PROXY_TLS_KEY (or "
	  "KMI_PROXY_TLS_TERMINATED=1 behind a TLS front, or KMI_PROXY_REQUIRE_TLS=0 on a network "
	  "you trust). Or listen on 127.0.0.1 only: KMI_PROXY_LISTEN=127.0.0.1:54123.",
	  { "Включите TLS через KMI_PROXY_TLS_CERT и KMI_PROXY_TLS_KEY (или "
	    "KMI_PROXY_TLS_TERMINATED=1, если TLS завершается раньше, или KMI_PROXY_REQUIRE_TLS=0 "
	    "в сети, которой доверяете). Или слушайте только 127.0.0.1: "
	    "KMI_PROXY_LISTEN=127.0.0.1:54123." } },
	{ "this connection does not come in on loopback, and the proxy is not set up for that: "
	  "KMI_PROXY_ALLOW_REMOTE is off, the connection is not encrypted",
	  { "соединение пришло не через loopback, а прокси к этому не готов: "
	    "KMI_PROXY_ALLOW_REMOTE выключен, соединение не зашифровано" } },
	{ "Set KMI_PROXY_ALLOW_REMOTE=1, serve TLS with KMI_PROXY_TLS_CERT and KMI_PROXY_TLS_KEY "
	  "(or KMI_PROXY_TLS_TERMINATED=1 behind a TLS front, or KMI_PROXY_REQUIRE_TLS=0 on a "
	  "network you trust). Or listen on 127.0.0.1 only: KMI_PROXY_LISTEN=127.0.0.1:54123.",
	  { "Задайте KMI_PROXY_ALLOW_REMOTE=1, включите TLS через KMI_PROXY_TLS_CERT и "
	    "KMI_PROXY_TLS_KEY (или KMI_PROXY_TLS_TERMINATED=1, если TLS завершается раньше, или "
	    "KMI_PROXY_REQUIRE_TLS=0 в сети, которой доверяете). Или слушайте только 127.0.0.1: "
	    "KMI_PROXY_LISTEN=127.0.0.1:54123." } },
	{ "this connection does not come in on loopback, and the proxy is not set up for that: "
	  "KMI_PROXY_TOKEN is empty, the connection is not encrypted",
	  { "соединение пришло не через loopback, а прокси к этому не готов: KMI_PROXY_TOKEN пуст, "
	    "соединение не зашифровано" } },
	{ "Please set KMI_PROXY_TOKEN to a long random word, serve TLS with KMI_PROXY_TLS_CERT and "
	  "KMI_PROXY_TLS_KEY (or KMI_PROXY_TLS_TERMINATED=1 behind a TLS front, or "
	  "KMI_PROXY_REQUIRE_TLS=0 on a network you trust). Or listen on 127.0.0.1 only: "
	  "KMI_PROXY_LISTEN=127.0.0.1:54123.",
	  { "Задайте в KMI_PROXY_TOKEN длинное случайное слово, включите TLS через "
	    "KMI_PROXY_TLS_CERT и KMI_PROXY_TLS_KEY (или KMI_PROXY_TLS_TERMINATED=1, если TLS "
	    "завершается раньше, или KMI_PROXY_REQUIRE_TLS=0 в сети, которой доверяете). Или "
	    "слушайте только 127.0.0.1: KMI_PROXY_LISTEN=127.0.0.1:54123." } },
	{ "this connection does not come in on loopback, and the proxy is not set up for that: "
	  "KMI_PROXY_ALLOW_REMOTE is off, KMI_PROXY_TOKEN is empty, the connection is not encrypted",
	  { "соединение пришло не через loopback, а прокси к этому не готов: "
	    "KMI_PROXY_ALLOW_REMOTE выключен, KMI_PROXY_TOKEN пуст, соединение не зашифровано" } },
	{ "Set KMI_PROXY_ALLOW_REMOTE=1, set KMI_PROXY_TOKEN to a long random word, serve TLS with "
	  "KMI_PROXY_TLS_CERT and KMI_PROXY_TLS_KEY (or KMI_PROXY_TLS_TERMINATED=1 behind a TLS "
	  "front, or KMI_PROXY_REQUIRE_TLS=0 on a network you trust). Or listen on 127.0.0.1 only: "
	  "KMI_PROXY_LISTEN=127.0.0.1:54123.",
	  { "Задайте KMI_PROXY_ALLOW_REMOTE=1, задайте в KMI_PROXY_TOKEN длинное случайное слово, "
	    "включите TLS через KMI_PROXY_TLS_CERT и KMI_PROXY_TLS_KEY (или "
	    "KMI_PROXY_TLS_TERMINATED=1, если TLS завершается раньше, или KMI_PROXY_REQUIRE_TLS=0 "
	    "в сети, которой доверяете). Или слушайте только 127.0.0.1: "
	    "KMI_PROXY_LISTEN=127.0.0.1:54123." } },
	{ "the user at the other end of this unix socket is not one of those who are served",
	  { "пользователь на другом конце этого unix-сокета — не из тех, кого обслуживают" } },
	{ "Name the user in KMI_PROXY_UNIX_USERS, or leave that empty to serve whoever may open the "
	  "socket.",
	  { "Добавьте пользователя в KMI_PROXY_UNIX_USERS или оставьте её пустой, чтобы обслуживать "
	    "всех, кто может открыть сокет." } },
	{ "the Host of this request is not a name of this proxy",
	  { "Host этого запроса — не имя этого прокси" } },
	{ "Use 127.0.0.1 or localhost in the client's base URL, or name it in KMI_PROXY_HOSTS.",
	  { "Укажите в base URL клиента 127.0.0.1 или localhost либо добавьте имя в KMI_PROXY_HOSTS." } },
	{ "a browser marked this request as that of another site's web page",
	  { "браузер пометил этот запрос как пришедший со страницы другого сайта" } },
	{ "If that page may use your keys, name its origin in KMI_PROXY_ALLOW_ORIGINS.",
	  { "Если этой странице можно пользоваться вашими ключами, добавьте её источник в "
	    "KMI_PROXY_ALLOW_ORIGINS." } },
	{ "this proxy wants its token: the request has none, or another",
	  { "прокси требует токен: в запросе его нет или он другой" } },
	{ "Send the value of KMI_PROXY_TOKEN as `Authorization: Bearer ...`, or as X-KMI-Proxy-Token.",
	  { "Передавайте значение KMI_PROXY_TOKEN как `Authorization: Bearer ...` или "
	    "X-KMI-Proxy-Token." } },

	/* lib/proxy/aside.c */
	{ "%s is not installed beside this program", { "%s не установлен рядом с этой программой" } },
	{ "start %s", { "не удалось запустить %s" } },

	/* lib/proxy/exchange.c */
	{ "kmi's own limit of requests for the whole proxy is reached",
	  { "достигнут предел запросов всего прокси, заданный в kmi" } },
	{ "every fit key has as many requests in flight as it may",
	  { "все пригодные ключи уже ведут столько запросов, сколько им можно" } },
	{ "every fit key is at its own limit of requests",
	  { "все пригодные ключи достигли своего предела запросов" } },
	{ "Send the request again later, or raise KMI_PROXY_MAX_CONCURRENCY_PER_KEY or the key's "
	  "KMI_KEY_MAX_CONCURRENCY; KMI_PROXY_WAIT_SECONDS lets requests wait",
	  { "Повторите запрос позже или увеличьте KMI_PROXY_MAX_CONCURRENCY_PER_KEY либо "
	    "KMI_KEY_MAX_CONCURRENCY ключа; с KMI_PROXY_WAIT_SECONDS запросы могут подождать" } },
	{ "Wait as Retry-After says, or raise KMI_PROXY_MAX_RPS / KMI_PROXY_MAX_RPM",
	  { "Подождите, сколько сказано в Retry-After, или увеличьте KMI_PROXY_MAX_RPS / "
	    "KMI_PROXY_MAX_RPM" } },
	{ "Wait as Retry-After says, or raise KMI_PROXY_MAX_RPS_PER_KEY / KMI_PROXY_MAX_RPM_PER_KEY",
	  { "Подождите, сколько сказано в Retry-After, или увеличьте KMI_PROXY_MAX_RPS_PER_KEY / "
	    "KMI_PROXY_MAX_RPM_PER_KEY" } },
	{ "every key is locked for now", { "все ключи сейчас заблокированы" } },
	{ "Wait as Retry-After says; `kmi keys` shows each lock, `kmi unlock` lifts one by hand",
	  { "Подождите, сколько сказано в Retry-After; `kmi keys` покажет блокировки, `kmi unlock` "
	    "снимет вручную" } },
	{ "every key that is left is blocked for payment",
	  { "все оставшиеся ключи заблокированы из-за оплаты" } },
	{ "Top up an account, then `kmi unlock LABEL`; `kmi keys` shows what each answer said",
	  { "Пополните учётную запись, затем `kmi unlock МЕТКА`; `kmi keys` покажет, что было в ответах" } },
	{ "every key is blocked until something is done about it", { "все ключи заблокированы, пока с ними что-то не сделают" } },
	{ "Put a good key into a key file, that unlocks it; `kmi keys` shows what each answer said",
	  { "Запишите в файл ключа годный ключ, это его разблокирует; ответы по каждому показывает `kmi keys`" } },
	{ "every key is disabled by its file", { "все ключи отключены в своих файлах" } },
	{ "Take KMI_KEY_DISABLED out of a key file; `kmi keys` lists them",
	  { "Уберите KMI_KEY_DISABLED из файла ключа; список даёт `kmi keys`" } },
	{ "the quota of no key is known, and KMI_REQUIRE_USAGE_BEFORE_REQUEST asks for that",
	  { "ни для одного ключа не известна квота, а этого требует KMI_REQUIRE_USAGE_BEFORE_REQUEST" } },
	{ "`kmi health --refresh` asks the upstream, and says what it answered",
	  { "`kmi health --refresh` спросит сервер и покажет его ответ" } },
	{ "no usable key", { "нет ни одного пригодного ключа" } },
	{ "`kmi keys` shows every key file and why it is not used; add one to the folder "
	  "KMI_AUTHS_DIR names",
	  { "`kmi keys` покажет файлы ключей и почему они не годятся; добавьте файл в каталог из "
	    "KMI_AUTHS_DIR" } },
	{ "the upstream broke off in the middle of its answer",
	  { "вышестоящий сервер оборвал ответ на середине" } },
	{ "Send the request again", { "Отправьте запрос ещё раз" } },
	{ "Check the certificate of KMI_UPSTREAM_BASE_URL, or trust its CA with KMI_UPSTREAM_CA_FILE",
	  { "Проверьте сертификат KMI_UPSTREAM_BASE_URL или укажите его УЦ в KMI_UPSTREAM_CA_FILE" } },
	{ "Check the network and KMI_UPSTREAM_BASE_URL, then send the request again",
	  { "Проверьте сеть и KMI_UPSTREAM_BASE_URL, затем отправьте запрос ещё раз" } },
	{ "the upstream could not answer: %s", { "вышестоящий сервер не смог ответить: %s" } },

	/* lib/proxy/forward.c */
	{ "upstream switched protocols unasked", { "вышестоящий сервер без спроса сменил протокол" } },
	{ "upstream closed in the middle of its answer",
	  { "вышестоящий сервер закрыл соединение посреди ответа" } },
	{ "upstream closed without an answer", { "вышестоящий сервер закрыл соединение, не ответив" } },
	{ "upstream said nothing for too long", { "вышестоящий сервер слишком долго молчал" } },

	/* lib/proxy/penalty.c */
	{ "write the table of wrong tokens", { "запись таблицы неверных токенов" } },
	{ "read the table of wrong tokens", { "чтение таблицы неверных токенов" } },

	/* lib/proxy/pool.c */
	{ "the old settings stay: %s", { "остаются прежние настройки: %s" } },
	{ "prepare the pool", { "не удалось подготовить пул" } },
	{ "prepare the listening socket", { "не удалось подготовить слушающий сокет" } },

	/* lib/proxy/received.c */
	{ "the upstream's answer is not valid HTTP: %s",
	  { "ответ вышестоящего сервера — не правильный HTTP: %s" } },

	/* lib/proxy/request.c */
	{ "the request body is over the limit of this proxy",
	  { "тело запроса больше предела этого прокси" } },
	{ "Send less, or raise KMI_PROXY_MAX_BODY_MB.",
	  { "Отправьте меньше или увеличьте KMI_PROXY_MAX_BODY_MB." } },
	{ "kmi has no memory left for this request", { "kmi не хватает памяти для этого запроса" } },
	{ "Try again later, or lower KMI_PROXY_MAX_CONNECTIONS.",
	  { "Повторите позже или уменьшите KMI_PROXY_MAX_CONNECTIONS." } },
	{ "the request head is over 64 KiB", { "заголовки запроса больше 64 КиБ" } },
	{ "Send shorter or fewer headers, or a shorter URL.",
	  { "Отправьте меньше заголовков, заголовки короче или URL короче." } },
	{ "the request has more than 512 headers", { "в запросе больше 512 заголовков" } },
	{ "Send fewer headers.", { "Отправьте меньше заголовков." } },
	{ "the Connection header is over 2 KiB", { "заголовок Connection больше 2 КиБ" } },
	{ "Name fewer headers in Connection.", { "Перечислите в Connection меньше заголовков." } },
	{ "this proxy speaks HTTP/1.1 and HTTP/1.0 only",
	  { "прокси понимает только HTTP/1.1 и HTTP/1.0" } },
	{ "Let the client use HTTP/1.1 (curl: --http1.1).",
	  { "Переключите клиент на HTTP/1.1 (curl: --http1.1)." } },
	{ "CONNECT and TRACE are not served", { "CONNECT и TRACE не обслуживаются" } },
	{ "This is no forward proxy: its address belongs in the client's base URL, not in HTTP(S)_PROXY.",
	  { "Это не прямой прокси: его адрес указывают в base URL клиента, а не в HTTP(S)_PROXY." } },
	{ "Send HTTP/1.1 as RFC 9112 has it; a program between client and kmi may have changed the "
	  "request.",
	  { "Отправляйте HTTP/1.1 по RFC 9112; возможно, запрос изменила программа между клиентом "
	    "и kmi." } },
	{ "a line that ends in a line feed alone",
	  { "строка кончается одним переводом строки, без возврата каретки" } },
	{ "a carriage return without a line feed after it",
	  { "возврат каретки без перевода строки после него" } },
	{ "a control character in the head or in the chunk framing",
	  { "управляющий символ в заголовках или в разметке частей тела" } },
	{ "this is not HTTP", { "это не HTTP" } },
	{ "the request line does not end in an HTTP version",
	  { "строка запроса не кончается версией HTTP" } },
	{ "the method is not a word that HTTP allows", { "такого метода в HTTP быть не может" } },
	{ "the request line is not `METHOD TARGET HTTP/1.1` with single spaces",
	  { "строка запроса — не `МЕТОД ЦЕЛЬ HTTP/1.1` через одиночные пробелы" } },
	{ "a folded header line (it begins with a space or tab)",
	  { "перенос строки заголовка (начинается с пробела или табуляции)" } },
	{ "a header line without a colon", { "строка заголовка без двоеточия" } },
	{ "a space between a header's name and its colon",
	  { "пробел между именем заголовка и двоеточием" } },
	{ "a header name that is empty or has characters HTTP does not allow",
	  { "имя заголовка пустое или содержит недопустимые символы" } },
	{ "the target has bytes that are not visible ASCII: percent-encode them",
	  { "в цели запроса есть байты не из видимого ASCII: закодируйте их через проценты" } },
	{ "the target has a fragment (#): encode it as %23, or leave it out",
	  { "в цели запроса есть фрагмент (#): закодируйте его как %23 или уберите" } },
	{ "the target names no valid host", { "в цели запроса нет правильного узла" } },
	{ "the target is neither a path that begins with / nor an http:// URL",
	  { "цель запроса — не путь, начинающийся с /, и не http:// URL" } },
	{ "the length of the body is given twice, or in a coding other than chunked",
	  { "длина тела указана дважды или кодирование тела — не chunked" } },
	{ "Content-Length is not one whole number", { "Content-Length — не одно целое число" } },
	{ "a chunk size that is not a hexadecimal number, or too long a one",
	  { "размер части тела — не шестнадцатеричное число или слишком длинное" } },
	{ "the head is not valid HTTP", { "заголовки — не правильный HTTP" } },
	{ "the chunked body is not valid", { "тело chunked размечено неверно" } },
	{ "more than one Host header", { "больше одного заголовка Host" } },
	{ "HTTP/1.1 needs a Host header", { "в HTTP/1.1 нужен заголовок Host" } },
	{ "the Host header is malformed", { "заголовок Host записан неверно" } },
	{ "Transfer-Encoding in HTTP/1.0", { "Transfer-Encoding в HTTP/1.0" } },
	{ "Transfer-Encoding other than `chunked`, given once",
	  { "Transfer-Encoding — не единственное `chunked`" } },
	{ "both Content-Length and Transfer-Encoding", { "и Content-Length, и Transfer-Encoding" } },
	{ "more than one Content-Length", { "больше одного Content-Length" } },
	{ "the length of the body is not clear", { "непонятна длина тела" } },
	{ "empty lines where a request was expected", { "пустые строки там, где ожидался запрос" } },
	{ "a line of the chunked body that is neither a size nor a trailer",
	  { "строка в теле chunked — не размер и не завершающий заголовок" } },
	{ "the chunked body has too much framing: extensions or trailers",
	  { "в теле chunked слишком много разметки: расширений или завершающих заголовков" } },

	/* lib/proxy/serve.c */
	{ "the request did not arrive in time", { "запрос не пришёл вовремя" } },
	{ "Send the whole request without a pause", { "Отправляйте запрос целиком, без пауз" } },
	{ "as many requests are served as may be at once, and none of them ended in time",
	  { "одновременно обслуживается столько запросов, сколько можно, и ни один не закончился вовремя" } },
	{ "Send the request again later, or raise KMI_PROXY_MAX_CONNECTIONS or KMI_PROXY_QUEUE_SECONDS",
	  { "Повторите запрос позже или увеличьте KMI_PROXY_MAX_CONNECTIONS либо KMI_PROXY_QUEUE_SECONDS" } },
	{ "this proxy is not configured: a setting is wrong",
	  { "этот прокси не настроен: одна из настроек неверна" } },
	{ "The proxy's log names it; `kmi config` on its machine does, too",
	  { "Её называет журнал прокси, а также `kmi config` на его машине" } },
	{ "nothing is here; the proxy's base path is %s",
	  { "здесь ничего нет; базовый путь прокси — %s" } },
	{ "Send requests below the base path, as in BASE/chat/completions",
	  { "Отправляйте запросы ниже базового пути, например ПУТЬ/chat/completions" } },
	{ "dot segments in the path lead out of the base path",
	  { "точки в пути выводят за базовый путь" } },
	{ "Send the path without . and .. segments", { "Отправляйте путь без частей . и .." } },
	{ "too many wrong tokens are being answered already",
	  { "слишком много запросов с неверным токеном уже ждут ответа" } },
	{ "Send the value of KMI_PROXY_TOKEN; with it no request waits",
	  { "Передавайте значение KMI_PROXY_TOKEN: с ним ни один запрос не ждёт" } },

	/* lib/proxy/wire.c */
	{ "libcurl does not start", { "libcurl не запускается" } },
	{ "libcurl does not take the connection", { "libcurl не принимает соединение" } },

	/* lib/show/audit_text.c */
	{ "state.json counts %lld turns after the last line: lines were removed, or requests were killed or still run\n",
	  { "по state.json после последней строки был ещё %lld ход: строка удалена либо запрос убит или ещё идёт\n",
	    "по state.json после последней строки было ещё %lld хода: строки удалены либо запросы убиты или ещё идут\n",
	    "по state.json после последней строки было ещё %lld ходов: строки удалены либо запросы убиты или ещё идут\n" } },
	{ "%lld turns after the last line are not there yet: their requests still run, or were killed, or lines were removed\n",
	  { "%lld хода после последней строки ещё нет: его запрос ещё идёт либо был убит, либо строка удалена\n",
	    "%lld ходов после последней строки ещё нет: их запросы ещё идут либо были убиты, либо строки удалены\n",
	    "%lld ходов после последней строки ещё нет: их запросы ещё идут либо были убиты, либо строки удалены\n" } },
	{ "key %s was used %s, as state.json says, but no line tells of it: it was removed, or its request was killed or still runs\n",
	  { "ключ %s, по данным state.json, использован %s, но строки об этом нет: она удалена либо запрос убит или ещё идёт\n" } },
	{ "key %s was used %s, as state.json says, and no line tells of it yet: its request still runs, or was killed, or its line was removed\n",
	  { "ключ %s, по данным state.json, использован %s, но строки об этом ещё нет: запрос ещё идёт либо был убит, либо строка удалена\n" } },
	{ "the trace has no line, though state.json knows of requests: nothing can be said of these\n",
	  { "в трассировке нет ни строки, хотя state.json знает о запросах: о них сказать нечего\n" } },
	{ "%sINCOMPLETE%s: what there is is right (%zu of %zu requests recomputed), but lines are missing at the end\n",
	  { "%sНЕПОЛНО%s: то, что есть, верно (проверено запросов: %zu из %zu), но в конце не хватает строк\n" } },
	{ "%sright so far%s: %zu of %zu requests recomputed, %zu of them by turns; what is not there yet counts as wrong after %d minutes\n",
	  { "%sпока верно%s: проверено запросов: %zu из %zu, из них по ходам: %zu; чего ещё нет, через %d минут считается ошибкой\n" } },
	{ "whether lines are missing at the end is not known: %s\n",
	  { "неизвестно, хватает ли строк в конце: %s\n" } },
	{ "%sWRONG%s: request %s, ended %s (%ld lines before the last): %s\n",
	  { "%sНЕВЕРНО%s: запрос %s, завершён %s (строк до последней: %ld): %s\n" } },
	{ "the trace has no line yet: there is nothing to prove\n",
	  { "в трассировке пока нет ни строки: доказывать нечего\n" } },
	{ "%sright%s: %zu of %zu requests recomputed, %zu of them by turns without gap or repeat\n",
	  { "%sверно%s: проверено запросов: %zu из %zu, по ходам без пропусков и повторов: %zu\n" } },
	{ "%lld lines do not say enough to be recomputed\n",
	  { "в %lld строке недостаточно сведений для проверки\n",
	    "в %lld строках недостаточно сведений для проверки\n",
	    "в %lld строках недостаточно сведений для проверки\n" } },
	{ "%lld times the rotation began anew from 0: state.json was deleted or set aside\n",
	  { "%lld раз ротация начиналась заново с 0: state.json удалён или отложен\n",
	    "%lld раза ротация начиналась заново с 0: state.json удалён или отложен\n",
	    "%lld раз ротация начиналась заново с 0: state.json удалён или отложен\n" } },
	{ "%lld turns near the oldest line are not there: their lines were in files that are gone\n",
	  { "нет %lld хода около самой старой строки: его строка была в удалённых файлах\n",
	    "нет %lld ходов около самой старой строки: их строки были в удалённых файлах\n",
	    "нет %lld ходов около самой старой строки: их строки были в удалённых файлах\n" } },

	/* lib/show/screen.c */
	{ "none of the requests is such a one", { "таких запросов нет" } },
	{ "warming up %zu/%zu", { "накопление %zu/%zu" } },
	{ "the last %zu", { "последние %zu" } },
	{ "   only: ", { "   только: " } },
	{ "   PAUSED, %zu new", { "   ПАУЗА, новых: %zu" } },
	{ "   %lld corrupt lines",
	  { "   %lld испорченная строка",
	    "   %lld испорченные строки",
	    "   %lld испорченных строк" } },
	{ "answers     ", { "ответы      " } },
	{ "latency     ", { "задержка    " } },
	{ "confidence  ", { "уверенность " } },
	{ "%lld more keys", { "ещё %lld ключ", "ещё %lld ключа", "ещё %lld ключей" } },
	{ "no request yet", { "запросов ещё не было" } },
	{ "key or status (alpha, 429, 4xx, error), then Enter: %s",
	  { "ключ или статус (alpha, 429, 4xx, error), затем Enter: %s" } },
	{ "q quit  p pause  / filter  c all again  arrows older",
	  { "q выход  p пауза  / отбор  c снова все  стрелки раньше" } },
	{ "q quit  p pause  / filter  arrows older", { "q выход  p пауза  / отбор  стрелки раньше" } },

	/* lib/show/standing.c */
	{ "free %s", { "освободится %s" } },

	/* lib/show/trace_text.c */
	{ "none: only some of the requests are looked at", { "нет: рассмотрена лишь часть запросов" } },
	{ "  %lld attempts", { "  %lld попытка", "  %lld попытки", "  %lld попыток" } },
	{ "no key was fit", { "пригодных ключей не было" } },
	{ "%lld keys were fit",
	  { "пригоден был %lld ключ",
	    "пригодны были %lld ключа",
	    "пригодно было %lld ключей" } },
	{ "%lld keys were passed over, each being at a limit",
	  { "%lld ключ пропущен: он у своего предела",
	    "%lld ключа пропущены: они у своего предела",
	    "%lld ключей пропущено: они у своего предела" } },
	{ "its turn in the rotation", { "его очередь в ротации" } },
	{ "its turn, as this process counted: the books could not be written",
	  { "его очередь по счёту этого процесса: учёт записать не удалось" } },
	{ "the active key, or the next fit one", { "активный ключ или следующий пригодный" } },
	{ "the key of its conversation", { "ключ его разговора" } },
	{ "one with most quota left", { "ключ с наибольшим остатком квоты" } },
	{ "another account", { "другая учётная запись" } },
	{ "another key; every account was tried", { "другой ключ; все учётные записи испробованы" } },
	{ "the same key again", { "снова тот же ключ" } },
	{ "tried in spite of a lock that was only a guess",
	  { "испробован, хотя заблокирован: блокировка была лишь догадкой" } },
	{ "served", { "обслужен" } },
	{ "the request was at fault, not the key", { "виноват запрос, а не ключ" } },
	{ "the key was refused: blocked", { "ключ не принят: заблокирован" } },
	{ "the account must pay: blocked", { "нужна оплата: заблокирован" } },
	{ "the quota is used up: locked until it is renewed",
	  { "квота исчерпана: заблокирован до обновления" } },
	{ "too many requests at once on this account",
	  { "слишком много одновременных запросов у этой учётной записи" } },
	{ "a rate limit: locked until it is over", { "лимит запросов: заблокирован, пока он не пройдёт" } },
	{ "the service was overloaded; not the key's fault", { "сервис был перегружен; ключ не виноват" } },
	{ "forbidden: the key rests", { "доступ запрещён: ключ отдыхает" } },
	{ "a fault of the server, or of the way to it", { "сбой сервера или пути к нему" } },
	{ "the client left", { "клиент ушёл" } },
	{ "  attempt %d: ", { "  попытка %d: " } },
	{ "no answer, ", { "нет ответа, " } },
	{ ", after %lld ms\n", { ", через %lld мс\n" } },
	{ "  it took %lld ms", { "  заняло %lld мс" } },
	{ ", of that %lld ms waiting for a key", { ", из них %lld мс в ожидании ключа" } },
	{ ", %lld ms to connect", { ", %lld мс на соединение" } },
	{ ", %lld ms to the first byte", { ", %lld мс до первого байта" } },
	{ "the choice was right: recomputed from this line", { "выбор верен: проверено по этой строке" } },
	{ "the choice was NOT right: %s", { "выбор НЕВЕРЕН: %s" } },
	{ "the line does not say enough to recompute the choice",
	  { "в строке недостаточно сведений, чтобы проверить выбор" } },
	{ "\n"
	  "  ended %s\n",
	  { "\n"
	    "  завершён %s\n" } },
	{ "  dry run: no upstream was asked\n", { "  холостой режим: к серверу никто не обращался\n" } },
	{ "  rotation, turn %lld: ", { "  ротация, ход %lld: " } },
	{ "  without a turn: ", { "  вне очереди: " } },
	{ "  no choice: ", { "  выбора не было: " } },
	{ "  a line of the older tool, which tells only the key: ",
	  { "  строка прежней программы, в ней указан только ключ: " } },
	{ "  the client got %lld", { "  клиент получил %lld" } },
	{ "  the client got no answer", { "  клиент не получил ответа" } },
	{ "  no answer %zu", { "  без ответа %zu" } },
	{ "p50", { "p50" } },
	{ "p90", { "p90" } },
	{ "p99", { "p99" } },
	{ "max", { "макс." } },
	{ "%lld ms", { "%lld мс" } },
	{ "%.1f s", { "%.1f с" } },
	{ "none: no request was given out by rotation", { "нет: ни один запрос не распределяла ротация" } },
	{ "%.1f %%  (chi-square p %.3f)", { "%.1f %%  (хи-квадрат p %.3f)" } },
	{ "ANSWERS", { "ОТВЕТЫ" } },
	{ "CHOSEN", { "ВЫБРАН" } },
	{ "FAIR", { "ПОРОВНУ" } },
	{ "SHARE OF CHOICES", { "ДОЛЯ ВЫБОРОВ" } },
	{ "requests    %zu", { "запросы     %zu" } },
	{ "  (warming up %zu/%zu)", { "  (накопление %zu/%zu)" } },
	{ "  (%zu of more than one attempt)", { "  (не с первой попытки: %zu)" } },
	{ "\n"
	  "answers     ",
	  { "\n"
	    "ответы      " } },
	{ "\n"
	  "latency     ",
	  { "\n"
	    "задержка    " } },
	{ "\n"
	  "confidence  ",
	  { "\n"
	    "уверенность " } },

	/* lib/show/words.c */
	{ "%lld s", { "%lld с" } },
	{ "%lld min", { "%lld мин" } },
	{ "%lld h", { "%lld ч" } },
	{ "%lld d", { "%lld дн" } },
	{ "%lld y", { "%lld год", "%lld года", "%lld лет" } },
	{ "never", { "никогда" } },
	{ "until unlocked", { "до снятия вручную" } },
	{ "now", { "сейчас" } },
	{ "in %s", { "через %s" } },
	{ "%s ago", { "%s назад" } },
	{ "%lld healthy", { "%lld исправен", "%lld исправны", "%lld исправно" } },
	{ "%lld in warn", { "%lld под вопросом", "%lld под вопросом", "%lld под вопросом" } },
	{ "%lld exhausted", { "%lld исчерпан", "%lld исчерпаны", "%lld исчерпано" } },
	{ "%lld blocked", { "%lld заблокирован", "%lld заблокированы", "%lld заблокировано" } },
	{ "%lld disabled", { "%lld отключён", "%lld отключены", "%lld отключено" } },
	{ "%d %% left", { "осталось %d %%" } },

	/* lib/tls/backend.c */
	{ "KMI_PROXY_TLS_POOL: the path of a unix socket has at most %zu bytes",
	  { "KMI_PROXY_TLS_POOL: путь unix-сокета не длиннее %zu байт" } },
	{ "start kmi-handle", { "не удалось запустить kmi-handle" } },
	{ "a socket for the pool", { "не удалось создать сокет для пула" } },
	{ "more than %d listening sockets", { "слушающих сокетов больше %d" } },
	{ "the pool's socket", { "не удалось узнать адрес сокета пула" } },
	{ "a socket for kmi-handle", { "не удалось создать сокет для kmi-handle" } },
	{ "connect to the pool", { "не удалось соединиться с пулом" } },
	{ "the pool's socket belongs to another user", { "сокет пула принадлежит другому пользователю" } },
	{ "tell the pool", { "не удалось передать соединение пулу" } },

	/* lib/tls/client.c */
	{ "Use https:// in the client's base URL: https://%s/...",
	  { "Укажите https:// в base URL клиента: https://%s/..." } },
	{ "this port speaks TLS, and the request came in plain HTTP",
	  { "на этом порту TLS, а запрос пришёл по простому HTTP" } },
	{ "the proxy behind TLS does not take the connection",
	  { "прокси за TLS не принимает соединение" } },
	{ "Start it, or look at its log: kmi status, kmi doctor.",
	  { "Запустите его или посмотрите его журнал: kmi status, kmi doctor." } },
	{ "%s: nobody takes the connection: %s", { "%s: соединение никто не принимает: %s" } },
	{ "%s: plain HTTP on a port that speaks TLS", { "%s: простой HTTP на порту, где говорят по TLS" } },
	{ "%s: no TLS: %s", { "%s: TLS не состоялся: %s" } },

	/* lib/tls/credential.c */
	{ "%s: something in it is too large", { "%s: что-то в нём слишком велико" } },
	{ "%s: the PEM text is damaged", { "%s: текст PEM повреждён" } },
	{ "copy it again from where it was made", { "скопируйте его заново оттуда, где он создан" } },
	{ "%s: the file ends in the middle", { "%s: файл обрывается на середине" } },
	{ "%s: a chain has at most %d certificates", { "%s: в цепочке не больше %d сертификатов" } },
	{ "%s: a certificate in it is empty", { "%s: в нём есть пустой сертификат" } },
	{ "%s: there is no certificate in it", { "%s: в нём нет сертификата" } },
	{ "it is to begin with -----BEGIN CERTIFICATE-----; the key belongs into a file of its own",
	  { "он должен начинаться с -----BEGIN CERTIFICATE-----; ключ кладут в отдельный файл" } },
	{ "%s: the certificate cannot be read (code %d)", { "%s: сертификат не читается (код %d)" } },
	{ "only RSA and EC certificates are understood, no Ed25519; openssl x509 -in FILE -noout "
	  "-text shows what it is",
	  { "понятны только сертификаты RSA и EC, не Ed25519; что это, покажет openssl x509 -in "
	    "ФАЙЛ -noout -text" } },
	{ "%s: the key is protected by a password, which nobody could type here",
	  { "%s: ключ защищён паролем, а ввести его здесь некому" } },
	{ "write it without one: openssl pkey -in OLD -out NEW; then chmod 600 NEW",
	  { "запишите его без пароля: openssl pkey -in СТАРЫЙ -out НОВЫЙ; затем chmod 600 НОВЫЙ" } },
	{ "%s: there is more than one key in it", { "%s: в нём больше одного ключа" } },
	{ "%s: the key cannot be read (code %d)", { "%s: ключ не читается (код %d)" } },
	{ "only RSA and EC keys are understood, no Ed25519; make a new pair, as with kmi tls selfsigned",
	  { "понятны только ключи RSA и EC, не Ed25519; сделайте новую пару, например kmi tls "
	    "selfsigned" } },
	{ "%s: there is no private key in it", { "%s: в нём нет закрытого ключа" } },
	{ "it is to begin with -----BEGIN PRIVATE KEY-----",
	  { "он должен начинаться с -----BEGIN PRIVATE KEY-----" } },
	{ "%s: the parts of the RSA key do not make one", { "%s: части ключа RSA не сходятся" } },
	{ "%s: an RSA key of %u bits; %d to %d are served",
	  { "%s: ключ RSA в %u бит; годятся от %d до %d" } },
	{ "make a new pair, best with an EC key (P-256)",
	  { "сделайте новую пару, лучше с ключом EC (P-256)" } },
	{ "%s: an EC key on a curve that is not served (number %d)",
	  { "%s: ключ EC на неподдерживаемой кривой (номер %d)" } },
	{ "make a new pair on P-256 (prime256v1)", { "сделайте новую пару на P-256 (prime256v1)" } },
	{ "the key in %s does not belong to the first certificate in %s",
	  { "ключ из %s не подходит к первому сертификату в %s" } },
	{ "the server's own certificate comes first, then those that signed it; both files must be "
	  "of one issue",
	  { "сначала сертификат самого сервера, затем подписавшие его; оба файла должны быть "
	    "одного выпуска" } },
	{ "%s: others on this machine may read the key (mode %03o)",
	  { "%s: прочитать ключ могут и другие на этой машине (права %03o)" } },
	{ "%s: others on this machine may change the key (mode %03o)",
	  { "%s: изменить ключ могут и другие на этой машине (права %03o)" } },
	{ "chmod 600 %s; when strangers could read it, make a new one",
	  { "chmod 600 %s; если его могли прочесть чужие, сделайте новый" } },
	{ "name a PEM file that this user can read in %s; kmi tls selfsigned makes a first one",
	  { "укажите в %s PEM-файл, доступный этому пользователю; первый сделает kmi tls selfsigned" } },
	{ "%s is not set", { "%s не задан" } },
	{ "TLS needs a certificate and its key: kmi tls selfsigned makes a first pair",
	  { "для TLS нужны сертификат и ключ к нему: первую пару сделает kmi tls selfsigned" } },
	{ "the certificate in %s is valid only from %s on: clients will refuse it",
	  { "сертификат в %s действует только с %s: клиенты его отвергнут" } },
	{ "look at this machine's clock, or wait", { "проверьте часы этой машины или подождите" } },
	{ "the certificate in %s has ended on %s: clients will refuse it",
	  { "сертификат в %s истёк %s: клиенты его отвергнут" } },
	{ "put a new one in its place; kmi-tls takes it up by itself",
	  { "положите на его место новый; kmi-tls подхватит его сам" } },
	{ "the certificate in %s ends on %s", { "сертификат в %s истекает %s" } },
	{ "renew it in time; kmi-tls takes the new one up by itself",
	  { "обновите его вовремя; kmi-tls подхватит новый сам" } },

	/* lib/tls/front.c */
	{ "%d clients have failed within a minute; what goes wrong with others in it is not told here",
	  { "за минуту ошибок у клиентов уже %d; об остальных в эту минуту здесь не сообщается" } },
	{ "the new certificate is not taken up yet: %s", { "новый сертификат пока не принят: %s" } },
	{ "%s: the new certificate is in use\n", { "%s: работает новый сертификат\n" } },
	{ "a connection was dropped: %s", { "соединение закрыто: %s" } },
	{ "fork: %s; a connection was dropped", { "не удалось создать процесс: %s; соединение закрыто" } },
	{ "the old settings stay: too many sockets",
	  { "остаются прежние настройки: слишком много сокетов" } },
	{ "cannot begin anew: %s", { "не удалось начать заново: %s" } },
	{ "kmi-handle does not start; it says above why",
	  { "kmi-handle не запускается; почему, сказано выше" } },
	{ "the pool has ended (%d) and is started again", { "пул завершился (%d) и запускается снова" } },
	{ "%d connections had to be cut", { "оборвано соединений: %d" } },
	{ "signalfd", { "не удалось создать дескриптор сигналов" } },

	/* lib/tls/sessions.c */
	{ "memory for sessions", { "не удалось выделить память для сеансов" } },

	/* lib/tls/tunnel.c */
	{ "TLS cannot be prepared (code %d)", { "не удалось подготовить TLS (код %d)" } },
	{ "the client does not trust the certificate (alert %d)",
	  { "клиент не доверяет сертификату (сигнал %d)" } },
	{ "for the client the certificate has ended (alert %d)",
	  { "для клиента сертификат истёк (сигнал %d)" } },
	{ "the client gave up (alert %d)", { "клиент отказался (сигнал %d)" } },
	{ "the client offers no cipher suite or curve that is served",
	  { "клиент не предлагает ни одного поддерживаемого шифра или кривой" } },
	{ "the client does not speak TLS 1.2", { "клиент не умеет TLS 1.2" } },
	{ "the client does not speak HTTP/1.1 (ALPN)", { "клиент не умеет HTTP/1.1 (ALPN)" } },
	{ "what the client sends is not TLS, or damaged (code %d)",
	  { "клиент прислал не TLS или испорченные данные (код %d)" } },
	{ "the client left in the middle", { "клиент ушёл на середине" } },
	{ "the client did not finish in time", { "клиент не успел закончить вовремя" } },

	/* lib/base/curl_words.c */
	{ "it refused the connection, or nobody listens there", { "в соединении отказано или там никто не слушает" } },
	{ "there is no way to its network", { "нет пути к его сети" } },
	{ "no connection came about in time", { "соединение не установлено вовремя" } },
	{ "its certificate has expired", { "срок сертификата истёк" } },
	{ "its certificate is not valid yet; is the clock right?",
	  { "сертификат ещё не действует; верны ли часы?" } },
	{ "its certificate is signed by nobody who is trusted here",
	  { "сертификат не подписан никем, кому здесь доверяют" } },
	{ "its certificate is for another host", { "сертификат выдан другому узлу" } },
	{ "its name cannot be resolved to an address", { "имя узла не найдено" } },
	{ "the name of the HTTP proxy cannot be resolved to an address", { "имя HTTP-прокси не найдено" } },
	{ "it took too long", { "время ожидания вышло" } },
	{ "the certificates to be trusted cannot be read", { "не читаются доверенные сертификаты" } },
	{ "it closed the connection without an answer", { "соединение закрыто без ответа" } },
	{ "the connection broke", { "соединение оборвалось" } },

	/* lib/base/kept_words.c */
	{ "the connection failed (%s)", { "соединение не удалось (%s)" } },
	{ "no TLS connection came about (%s)", { "соединение TLS не удалось (%s)" } },
	{ "its certificate is not accepted (%s)", { "сертификат не принят (%s)" } },
	{ "the upstream answered %s", { "сервер ответил %s" } },

	/* what the resolver says */
	{ "Name or service not known", { "имя не найдено" } },
	{ "Temporary failure in name resolution", { "сейчас имя узнать не удаётся" } },
	{ "No address associated with hostname", { "у имени нет адреса" } },
	{ "Non-recoverable failure in name resolution", { "имя узнать не удалось" } },
	{ "Servname not supported for ai_socktype", { "такой порт не поддерживается" } },

	/* what the system says */
	{ "No such file or directory", { "нет такого файла или каталога" } },
	{ "Permission denied", { "доступ запрещён" } },
	{ "Operation not permitted", { "операция не разрешена" } },
	{ "No space left on device", { "на устройстве нет места" } },
	{ "Read-only file system", { "файловая система только для чтения" } },
	{ "Is a directory", { "это каталог" } },
	{ "Not a directory", { "это не каталог" } },
	{ "File exists", { "файл уже существует" } },
	{ "Directory not empty", { "каталог не пуст" } },
	{ "Too many open files", { "слишком много открытых файлов" } },
	{ "Too many open files in system", { "в системе слишком много открытых файлов" } },
	{ "Too many levels of symbolic links", { "слишком много символических ссылок подряд" } },
	{ "File name too long", { "имя файла слишком длинное" } },
	{ "File too large", { "файл слишком велик" } },
	{ "Disk quota exceeded", { "превышена дисковая квота" } },
	{ "Input/output error", { "ошибка ввода-вывода" } },
	{ "Cannot allocate memory", { "не удалось выделить память" } },
	{ "Resource temporarily unavailable", { "ресурс временно недоступен" } },
	{ "Device or resource busy", { "устройство или ресурс занят" } },
	{ "Text file busy", { "файл программы занят" } },
	{ "Interrupted system call", { "системный вызов прерван" } },
	{ "Invalid argument", { "неверный аргумент" } },
	{ "Bad file descriptor", { "неверный файловый дескриптор" } },
	{ "Broken pipe", { "канал оборван" } },
	{ "No such process", { "нет такого процесса" } },
	{ "No child processes", { "нет дочерних процессов" } },
	{ "Exec format error", { "неверный формат исполняемого файла" } },
	{ "Argument list too long", { "список аргументов слишком длинный" } },
	{ "Address already in use", { "адрес уже занят" } },
	{ "Cannot assign requested address", { "такого адреса на этой машине нет" } },
	{ "Connection refused", { "в соединении отказано" } },
	{ "Connection reset by peer", { "соединение сброшено другой стороной" } },
	{ "Connection timed out", { "время ожидания соединения истекло" } },
	{ "No route to host", { "нет пути к узлу" } },
	{ "Network is unreachable", { "сеть недоступна" } },
	{ "Address family not supported by protocol", { "такие адреса не поддерживаются" } },
	{ "Protocol not supported", { "протокол не поддерживается" } },
	{ "Function not implemented", { "в этой системе такого нет" } },
	{ "Operation not supported", { "операция не поддерживается" } },
	{ "Inappropriate ioctl for device", { "неподходящая операция для устройства" } },
	{ "Transport endpoint is not connected", { "сокет не соединён" } },
	{ "Socket operation on non-socket", { "это не сокет" } },
	{ "Stale file handle", { "устаревший описатель файла" } },
	{ "Invalid cross-device link", { "перенос между устройствами невозможен" } },
};

const size_t text_ru_count = sizeof(text_ru) / sizeof(*text_ru);
