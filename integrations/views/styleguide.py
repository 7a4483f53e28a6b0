def styleguide(request):
    raise NotImplementedError
