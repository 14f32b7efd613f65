использование: kmi proxy [--foreground]
               kmi proxy-stop [-y] [-f]
               kmi proxy-restart
               kmi proxy-logs [--no-follow] [--lines N] [--app] [--since 10m]
               kmi proxy install | uninstall [--user | --system] [--pool]
                   [--tls]

Запускает прокси по адресу KMI_PROXY_LISTEN, в фоне, если не велено иначе;
останавливает его, дав начатым ответам закончиться; показывает его сообщения.
Если им управляет systemd или s6, просит об этом их. `install` поручает прокси
systemd: подробнее kmi proxy install --help.

      --foreground  не уходить в фон, сообщения — в stderr
  -y, --yes         не спрашивать
  -f, --force       завершить сразу, если сам не завершается
      --no-follow   показать последние строки и закончить
      --lines N     сколько строк (20)
      --app         журнал событий, kmi.log
      --since СРОК  только то, что новее: 90s, 10m, 2h, 3d, 1w или время
  -h, --help        эта справка
